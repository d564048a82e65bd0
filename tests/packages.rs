//! What is handed out: the Debian package, installed and removed again in a root of its own, and the archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::files::{mode, tree};
use kmi_tests::harness::require::or_skip;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|ran| ran.status.success())
}

/// The place where the files are put together is one for all.
fn package(kind: &str, out: &Path) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // The programs of the tests, built by now.
    let _ = binaries();
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut script = Command::new("bash");
    script.arg(top().join(".ci/package")).arg(kind).arg(out).env("KMI_PACKAGE_PROFILE", "dev");
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
            script.env_remove(name);
        }
    }
    ran(&mut script);
}

/// Files below a folder, by their paths from there.
fn files(root: &Path) -> Vec<String> {
    let inside = tree(root).into_iter().filter(|path| path.is_file());
    inside.map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
}

fn version(program: &Path) -> String {
    String::from_utf8(ran(Command::new(program).arg("--version")).stdout).unwrap()
}

#[test]
fn the_debian_package_is_installed_and_goes_without_a_trace() {
    let can = works("dpkg", &["--version"]) && rustix::process::geteuid().is_root();
    if !or_skip(can, "no dpkg, or not run by root, who may install into a root of his own")
        || !or_skip(works("cargo", &["deb", "--version"]), "cargo-deb is not installed")
    {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    package("deb", dir.path());
    let made: Vec<_> = files(dir.path()).into_iter().filter(|name| name.ends_with(".deb")).collect();
    assert_eq!(made.len(), 1, "{made:?}");

    let root = dir.path().join("root");
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let dpkg = |args: &[&str]| {
        let mut dpkg = Command::new("dpkg");
        // What it depends on is not in this root.
        dpkg.arg(format!("--root={}", root.display()))
            .args(["--force-depends", "--force-bad-path"])
            .args(args);
        String::from_utf8(ran(&mut dpkg).stdout).unwrap()
    };
    dpkg(&["--install", &dir.path().join(&made[0]).display().to_string()]);

    let installed = files(&root.join("usr"));
    for name in [
        "bin/kmi",
        "bin/kmid",
        "lib/systemd/user/kmid.service",
        "lib/systemd/user/kmid.socket",
        "lib/systemd/user/kmid-control.socket",
        "share/bash-completion/completions/kmi",
        "share/zsh/vendor-completions/_kmi",
        "share/fish/vendor_completions.d/kmi.fish",
        "share/man/man1/kmi.1.gz",
        "share/man/man1/kmid.1.gz",
        "share/man/man1/kmi-keys-add.1.gz",
        "share/doc/kmi/README.md",
        "share/doc/kmi/env.example",
        "share/doc/kmi/copyright",
    ] {
        assert!(installed.iter().any(|file| file == name), "{name} is missing: {installed:?}");
        let wanted = if name.starts_with("bin/") { 0o755 } else { 0o644 };
        assert_eq!(mode(&root.join("usr").join(name)), wanted, "{name}");
        assert!(fs::metadata(root.join("usr").join(name)).unwrap().len() > 0, "{name} is empty");
    }
    for name in ["kmid", "kmi"] {
        let version = version(&root.join("usr/bin").join(name));
        assert!(version.starts_with(&format!("{name} {} (", env!("CARGO_PKG_VERSION"))), "{version}");
    }
    let unit = fs::read_to_string(root.join("usr/lib/systemd/user/kmid.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/kmid ") && !unit.contains("%h/.cargo"), "{unit}");
    let status = dpkg(&["--status", "kmi"]);
    assert!(status.contains("Status: install ok installed") && status.contains("Depends: libc6"), "{status}");

    dpkg(&["--purge", "kmi"]);
    assert!(
        !root.join("usr").exists() || files(&root.join("usr")).is_empty(),
        "{:?}",
        files(&root.join("usr"))
    );
}

#[test]
fn the_archive_is_whole_and_the_same_twice() {
    if !or_skip(works("tar", &["--version"]) && works("sha256sum", &["--version"]), "no tar or sha256sum") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let archives = ["one", "two"].map(|name| {
        let out = dir.path().join(name);
        package("archive", &out);
        let archive = files(&out).into_iter().find(|file| file.ends_with(".tar.gz")).unwrap();
        ran(Command::new("sha256sum")
            .args(["--check", "--quiet", &format!("{archive}.sha256")])
            .current_dir(&out));
        out.join(archive)
    });
    assert!(
        fs::read(&archives[0]).unwrap() == fs::read(&archives[1]).unwrap(),
        "two archives of the same sources differ"
    );

    ran(Command::new("tar").arg("-xzf").arg(&archives[0]).arg("-C").arg(dir.path()));
    let name = archives[0].file_name().unwrap().to_string_lossy().replace(".tar.gz", "");
    let folder = dir.path().join(name);
    let inside = files(&folder);
    for name in [
        "bin/kmi",
        "bin/kmid",
        "completions/_kmi",
        "completions/kmi.bash",
        "completions/kmi.fish",
        "doc/CHANGELOG.md",
        "doc/LICENSE",
        "doc/README.md",
        "doc/README.ru.md",
        "launchd/io.github.kmid.kmid.plist",
        "man/kmi.1",
        "man/kmid.1",
        "systemd/kmid.service",
        "systemd/kmid.socket",
        "systemd/kmid-control.socket",
    ] {
        assert!(inside.iter().any(|file| file == name), "{name} is missing: {inside:?}");
    }
    assert!(version(&folder.join("bin/kmid")).starts_with("kmid "));
    let open = tree(&folder).into_iter().find(|path| mode(path) & 0o022 != 0);
    assert_eq!(open, None, "others may write it");
}
