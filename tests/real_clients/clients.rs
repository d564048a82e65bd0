//! Where the clients are, and how they are kept from talking to anybody but kmid.

use std::ffi::OsString;
use std::path::PathBuf;

use kmi_tests::harness::{Setup, needs};

/// A program or library that `tests/real-clients.sh` installs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// As people know it.
    pub(crate) name: &'static str,
    /// What must be there, below the folder of all clients.
    there: &'static str,
    /// The folder of programs that goes before the others.
    bin: &'static str,
}

const NPM_BIN: &str = "npm/node_modules/.bin";

pub(crate) const KIMI_CODE: Client =
    Client { name: "kimi-code", there: "npm/node_modules/.bin/kimi", bin: NPM_BIN };
pub(crate) const KIMI_CLI: Client =
    Client { name: "kimi-cli", there: "kimi-cli/bin/kimi", bin: "kimi-cli/bin" };
pub(crate) const CLAUDE_CODE: Client =
    Client { name: "Claude Code", there: "npm/node_modules/.bin/claude", bin: NPM_BIN };
pub(crate) const OPENCODE: Client =
    Client { name: "opencode", there: "npm/node_modules/.bin/opencode", bin: NPM_BIN };
pub(crate) const OPENAI_JS: Client =
    Client { name: "the OpenAI SDK (JavaScript)", there: "npm/node_modules/openai", bin: NPM_BIN };
pub(crate) const ANTHROPIC_JS: Client = Client {
    name: "the Anthropic SDK (JavaScript)",
    there: "npm/node_modules/@anthropic-ai/sdk",
    bin: NPM_BIN,
};
pub(crate) const PYTHON_SDKS: Client =
    Client { name: "the SDKs (Python)", there: "python-sdks/bin/python", bin: "python-sdks/bin" };

/// Documented switches of the clients: no telemetry, no update, no list of models from elsewhere.
const QUIET: [(&str, &str); 8] = [
    ("KIMI_DISABLE_TELEMETRY", "1"),
    ("KIMI_CODE_NO_AUTO_UPDATE", "1"),
    ("KIMI_CLI_NO_AUTO_UPDATE", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
    ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
    ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
    ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
];

impl Client {
    /// Whether it is installed; without it the test skips or fails.
    pub(crate) fn is_there(self) -> bool {
        let found = folder().is_some_and(|folder| folder.join(self.there).exists());
        needs::present(&format!("{} (tests/real-clients.sh installs it)", self.name), found)
    }

    /// The same setup with this client's programs on PATH.
    pub(crate) fn on_path(self, setup: Setup) -> Setup {
        let mut path = OsString::from(folder().unwrap().join(self.bin));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        QUIET
            .into_iter()
            .fold(setup, |setup, (name, value)| setup.env(name, value))
            .env("PATH", path.to_str().unwrap())
            .env("TERM", "dumb")
    }
}

/// The folder of a package's dependencies, for programs of the test's own.
pub(crate) fn node_modules() -> PathBuf {
    folder().unwrap().join("npm/node_modules")
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("KMI_TEST_CLIENTS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}
