//! The OpenAI and the Anthropic SDK, in Python and in JavaScript, by the snippets of `kmi connect --show`: the one for
//! the program's text and the one for its environment.

use kmi_tests::harness::Daemon;
use kmi_tests::harness::cli::Ran;

use crate::agents::{shell, snippet, with_token};
use crate::clients::{ANTHROPIC_JS, Client, OPENAI_JS, PYTHON_SDKS, node_modules};
use crate::model::OUTPUT;
use crate::turn::{ANTHROPIC, OPENAI, dry_run, scripted, was_simulated, went_on_with_another_key};

struct Sdk {
    client: Client,
    endpoint: &'static str,
    /// How the program is started, its file last.
    start: [&'static str; 2],
    /// The snippet for its text.
    in_text: &'static str,
    /// The snippet for its environment, and the text that goes with it.
    in_env: (&'static str, &'static str),
    /// Asks each argument, the first for a whole answer, the others for a stream, and prints what comes.
    ask: &'static str,
}

const OPENAI_PYTHON: Sdk = Sdk {
    client: PYTHON_SDKS,
    endpoint: OPENAI,
    start: ["python", "ask.py"],
    in_text: "openai_python",
    in_env: ("openai_env", "from openai import OpenAI\nclient = OpenAI()"),
    ask: r#"
import sys
for n, text in enumerate(sys.argv[1:]):
    ask = dict(model="kimi-for-coding", messages=[{"role": "user", "content": text}])
    if n == 0:
        print(client.chat.completions.create(**ask).choices[0].message.content)
    else:
        for chunk in client.chat.completions.create(**ask, stream=True):
            print((chunk.choices and chunk.choices[0].delta.content) or "", end="")
"#,
};

const OPENAI_JAVASCRIPT: Sdk = Sdk {
    client: OPENAI_JS,
    endpoint: OPENAI,
    start: ["node", "ask.mjs"],
    in_text: "openai_javascript",
    in_env: ("openai_env", "import OpenAI from \"openai\";\nconst client = new OpenAI();"),
    ask: r#"
for (const [n, text] of process.argv.slice(2).entries()) {
    const ask = { model: "kimi-for-coding", messages: [{ role: "user", content: text }] };
    if (n === 0) {
        console.log((await client.chat.completions.create(ask)).choices[0].message.content);
    } else {
        for await (const chunk of await client.chat.completions.create({ ...ask, stream: true }))
            process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
    }
}
"#,
};

const ANTHROPIC_PYTHON: Sdk = Sdk {
    client: PYTHON_SDKS,
    endpoint: ANTHROPIC,
    start: ["python", "ask.py"],
    in_text: "anthropic_python",
    in_env: ("anthropic_env", "from anthropic import Anthropic\nclient = Anthropic()"),
    ask: r#"
import sys
for n, text in enumerate(sys.argv[1:]):
    ask = dict(model="kimi-for-coding", max_tokens=100, messages=[{"role": "user", "content": text}])
    if n == 0:
        print(client.messages.create(**ask).content[0].text)
    else:
        with client.messages.stream(**ask) as stream:
            for piece in stream.text_stream:
                print(piece, end="")
"#,
};

const ANTHROPIC_JAVASCRIPT: Sdk = Sdk {
    client: ANTHROPIC_JS,
    endpoint: ANTHROPIC,
    start: ["node", "ask.mjs"],
    in_text: "anthropic_javascript",
    in_env: (
        "anthropic_env",
        "import Anthropic from \"@anthropic-ai/sdk\";\nconst client = new Anthropic();",
    ),
    ask: r#"
for (const [n, text] of process.argv.slice(2).entries()) {
    const ask = { model: "kimi-for-coding", max_tokens: 100, messages: [{ role: "user", content: text }] };
    if (n === 0) {
        console.log((await client.messages.create(ask)).content[0].text);
    } else {
        process.stdout.write(await client.messages.stream(ask).finalText());
    }
}
"#,
};

impl Sdk {
    /// Runs a program with one of the two snippets in it.
    async fn run(&self, daemon: &Daemon, by_env: bool, arguments: &str) -> Ran {
        let (env, text) = if by_env {
            (snippet(daemon, self.in_env.0).await, self.in_env.1.to_owned())
        } else {
            (String::new(), snippet(daemon, self.in_text).await)
        };
        let [program, file] = self.start;
        daemon.home.write(format!("work/{file}"), format!("{text}\n{}", self.ask));
        if program == "node" {
            std::os::unix::fs::symlink(node_modules(), daemon.home.work_dir().join("node_modules")).unwrap();
        }
        shell(daemon, &format!("{env}\nexec {program} {file} {arguments}")).await
    }

    async fn try_out(&self) {
        if !self.client.is_there() {
            return;
        }
        for by_env in [false, true] {
            let daemon = dry_run(self.client, |setup| setup).await;
            was_simulated(&daemon, &self.run(&daemon, by_env, "'Say hello'").await, self.endpoint).await;
            let (upstream, daemon) = scripted(self.client, with_token).await;
            let ran = self.run(&daemon, by_env, &format!("'Say hello' 'and {OUTPUT}'")).await;
            went_on_with_another_key(&upstream, &daemon, &ran, self.endpoint).await;
        }
    }
}

#[tokio::test]
async fn openai_in_python() {
    OPENAI_PYTHON.try_out().await;
}

#[tokio::test]
async fn openai_in_javascript() {
    OPENAI_JAVASCRIPT.try_out().await;
}

#[tokio::test]
async fn anthropic_in_python() {
    ANTHROPIC_PYTHON.try_out().await;
}

#[tokio::test]
async fn anthropic_in_javascript() {
    ANTHROPIC_JAVASCRIPT.try_out().await;
}
