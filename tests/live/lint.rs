//! The configurations on which `wstap lint` is tested are ones that the programs themselves accept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::{scratch, workspace};

/// Those that no program here can take: the output of `nginx -T`, and one for a module that Debian's nginx lacks.
const NOT_FILES: [&str; 2] = ["nginx-dump.conf", "nginx-lua.conf"];

/// The configurations whose names begin so, which are at least this many.
fn wild(prefix: &str, at_least: usize) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(workspace().join("tests/lint/wild"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let lists = name.ends_with(".findings") || name.ends_with(".options");
        if name.starts_with(prefix) && !lists && !NOT_FILES.contains(&name) {
            found.push((path.clone(), fs::read_to_string(&path)?));
        }
    }
    ensure!(found.len() >= at_least, "{prefix}: only {} configurations", found.len());
    Ok(found)
}

/// A certificate with its key behind it, for files that are not here.
fn certificate(folder: &Path) -> Result<PathBuf> {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-keyout", "key.pem", "-out", "site.pem", "-days", "2", "-subj", "/CN=app.example"])
        .output()
        .context("openssl is missing: `cargo xtask setup` installs it")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let both = folder.join("both.pem");
    let text =
        fs::read_to_string(folder.join("site.pem"))? + &fs::read_to_string(folder.join("key.pem"))?;
    fs::write(&both, text)?;
    Ok(both)
}

fn accepts(command: &mut Command, file: &Path, text: &str) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command
        .env("PATH", format!("{path}:/usr/sbin"))
        .output()
        .with_context(|| format!("{command:?}: `cargo xtask setup` installs it"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}\n{text}", file.display());
    Ok(())
}

/// The text with each line that begins with the word replaced by what `line` makes of it.
fn with_lines(text: &str, word: &str, line: impl Fn(&str) -> String) -> String {
    let replaced = text
        .lines()
        .map(|one| if one.trim_start().starts_with(word) { line(one) } else { one.to_owned() });
    replaced.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn nginx_takes_what_is_linted_for_it() -> Result<()> {
    let folder = scratch("lint-nginx")?;
    let place = folder.display();
    let pem = certificate(&folder)?.display().to_string();
    for (file, text) in wild("nginx", 9)? {
        // A socket of its own in place of a port: the test needs neither, and must not find them taken.
        let text = with_lines(&text, "listen", |line| {
            let flags = line.trim().trim_end_matches(';').split_whitespace().skip(2);
            format!("listen unix:{place}/socket {};", flags.collect::<Vec<_>>().join(" "))
        });
        let text = with_lines(&text, "ssl_certificate ", |_| format!("ssl_certificate {pem};"));
        let text =
            with_lines(&text, "ssl_certificate_key", |_| format!("ssl_certificate_key {pem};"));
        let whole = format!("pid {place}/pid; events {{}}\nhttp {{ access_log off;\n{text}}}\n");
        let written = folder.join("nginx.conf");
        fs::write(&written, &whole)?;
        let mut nginx = Command::new("nginx");
        accepts(nginx.args(["-t", "-q", "-e", "stderr", "-c"]).arg(&written), &file, &whole)?;
    }
    Ok(())
}

#[test]
fn haproxy_takes_what_is_linted_for_it() -> Result<()> {
    let folder = scratch("lint-haproxy")?;
    let pem = certificate(&folder)?.display().to_string();
    for (file, text) in wild("haproxy", 5)? {
        let text = text.replace("/etc/haproxy/site.pem", &pem);
        let written = folder.join("haproxy.cfg");
        fs::write(&written, &text)?;
        accepts(Command::new("haproxy").args(["-c", "-f"]).arg(&written), &file, &text)?;
    }
    Ok(())
}

#[test]
fn apache_takes_what_is_linted_for_it() -> Result<()> {
    let folder = scratch("lint-apache")?;
    let place = folder.display();
    let pem = certificate(&folder)?.display().to_string();
    let mut head = format!(
        "ServerRoot {place}\nServerName app.example\nPidFile {place}/pid\nErrorLog {place}/error.log\n\
         DefaultRuntimeDir {place}\n"
    );
    for module in [
        "mpm_event",
        "authz_core",
        "env",
        "headers",
        "proxy",
        "proxy_http",
        "proxy_wstunnel",
        "rewrite",
        "ssl",
    ] {
        head += &["LoadModule ", module, "_module /usr/lib/apache2/modules/mod_", module, ".so\n"]
            .concat();
    }
    for (file, text) in wild("apache", 4)? {
        let text = text.replace("/etc/ssl/app.pem", &pem).replace("/etc/ssl/app.key", &pem);
        let written = folder.join("apache.conf");
        fs::write(&written, head.clone() + &text)?;
        accepts(Command::new("apache2").args(["-t", "-f"]).arg(&written), &file, &text)?;
    }
    Ok(())
}

#[test]
fn caddy_takes_what_is_linted_for_it() -> Result<()> {
    let folder = scratch("lint-caddy")?;
    for (file, text) in wild("Caddyfile", 2)? {
        let written = folder.join("Caddyfile");
        fs::write(&written, &text)?;
        let mut caddy = Command::new(workspace().join("target/servers/bin/caddy"));
        caddy.env("HOME", &folder).env_remove("XDG_DATA_HOME");
        accepts(
            caddy.args(["adapt", "--adapter", "caddyfile", "--config"]).arg(&written),
            &file,
            &text,
        )?;
    }
    Ok(())
}
