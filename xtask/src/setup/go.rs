//! The live tests' Go server, built with Debian's compiler and its package of gorilla/websocket.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Step;
use crate::command::{run, workspace};

/// Where Debian's packages of Go libraries are.
const LIBRARIES: &str = "/usr/share/gocode";
const SOURCE: &str = "tests/live/servers/matrix/gorilla.go";
const PROGRAM: &str = "target/servers/bin/gorilla";

/// Debian's packages that are missing for it.
pub(super) fn missing_packages() -> Vec<&'static str> {
    let library = Path::new(LIBRARIES).join("src/github.com/gorilla/websocket");
    if library.is_dir() { Vec::new() } else { vec!["golang-github-gorilla-websocket-dev"] }
}

/// The step that builds the server, when it is older than its source. After the environment of the Python
/// servers, which lies in the same folder.
pub(super) fn step(environment_changes: bool) -> Result<Option<Step>> {
    let source = workspace().join(SOURCE);
    let program = workspace().join(PROGRAM);
    let changed = fs::metadata(&source).and_then(|file| file.modified()).context(SOURCE)?;
    let built = fs::metadata(&program).and_then(|file| file.modified());
    if !environment_changes && built.is_ok_and(|built| built > changed) {
        return Ok(None);
    }
    let work = move || {
        let mut go = Command::new("go");
        go.env("GOPATH", LIBRARIES).env("GO111MODULE", "off").args(["build", "-o"]);
        run(go.arg(program).arg(source))
    };
    Ok(Some(Step { what: "go build of the Go server".to_owned(), work: Box::new(work) }))
}
