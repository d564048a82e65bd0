//! `kmi keys add` and `remove` as a person types them, in a real pseudo-terminal.

use kmi_tests::harness::Setup;
use kmi_tests::harness::wait::eventually;

use kmi_tests::harness::tmux::{Tmux, between_stty, has_tmux};

const CANARY: &str = "sk-kimi-canary-0123456789abcdef";

#[tokio::test]
async fn a_typed_key_is_never_shown() {
    if !has_tmux() {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha"]).env("KMI_LOCALE", "en").start().await;
    let tmux = Tmux::run(&daemon.home, &format!("read -r _; {}", between_stty("keys add")));
    // All that ever reaches the terminal, also what is cleared again.
    let told = daemon.home.work_dir().join("told");
    assert!(tmux.tell(&["pipe-pane", &format!("cat > '{}'", told.display())]).status.success());
    tmux.press(&["Enter"]);
    tmux.shows("API key (it is not shown):").await;
    tmux.types(CANARY);
    tmux.press(&["Enter"]);
    tmux.shows("label for it [key1]:").await;
    // The key was typed: a label that is taken does not end it.
    tmux.types("ALPHA");
    tmux.press(&["Enter"]);
    tmux.until("a second question", |screen| {
        screen.contains("another key has the label alpha")
            && screen.matches("label for it [key1]:").count() == 2
    })
    .await;
    // A label is no secret: that it is echoed shows that the terminal would have echoed the key.
    tmux.types("my work key");
    tmux.shows("label for it [key1]: my work key").await;
    tmux.press(&["Enter"]);
    let screen = tmux.restored("ended with 0").await;
    assert!(screen.contains("my work key is in the pool"), "{screen}");
    let told = eventually("what the terminal was told", || async {
        let told = String::from_utf8_lossy(&std::fs::read(&told).unwrap_or_default()).into_owned();
        told.contains("ended with").then_some(told)
    })
    .await;
    assert!(
        told.contains("my work key") && !told.contains("canary") && !screen.contains("canary"),
        "{told:?}"
    );
    assert_eq!(daemon.key("my work key").await["masked"], "...cdef");
}

#[tokio::test]
async fn a_prompt_that_is_left_changes_nothing() {
    if !has_tmux() {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha"]).env("KMI_LOCALE", "en").start().await;
    // Ctrl-C while the key is typed, and when it has been.
    for (typed, then) in [("sk-kimi-canary", "API key (it is not shown):"), (CANARY, "label for it [key1]:")]
    {
        for name in ["before", "after"] {
            let _ = std::fs::remove_file(daemon.home.work_dir().join(name));
        }
        let tmux = Tmux::run(&daemon.home, &between_stty("keys add"));
        tmux.shows("API key (it is not shown):").await;
        tmux.types(typed);
        if typed == CANARY {
            tmux.press(&["Enter"]);
        }
        tmux.shows(then).await;
        tmux.press(&["C-c"]);
        let screen = tmux.restored("ended with 130").await;
        assert!(!screen.contains("canary"), "{screen}");
    }
    let files: Vec<_> = std::fs::read_dir(daemon.home.auths_dir()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");

    let kmi = kmi_tests::harness::binaries::binaries().kmi.display();
    let tmux = Tmux::run(&daemon.home, &format!("'{kmi}' keys remove alpha; echo \"ended with $?\""));
    tmux.shows("take alpha (alpha.env) out of the pool? [y/N]").await;
    tmux.press(&["Enter"]);
    tmux.shows("ended with 1").await;
    assert!(daemon.find_key("alpha").await.is_some() && daemon.home.auths_dir().join("alpha.env").is_file());
}
