//! Surgical edits of the Kimi clients' config files.
