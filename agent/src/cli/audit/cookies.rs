//! `--cookie-file FILE`: a Cookie header's value, or a cookie jar as curl and browsers' exports write it.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

/// How many fields a line of a jar has: domain, with subdomains, path, secure, expiry, name, value.
const JAR_FIELDS: usize = 7;

/// The value of `Cookie` for this host. Errors never hold a cookie.
pub(super) fn read(file: &Path, host: &str) -> anyhow::Result<String> {
    let failed = || format!("--cookie-file {}", file.display());
    let text = fs::read_to_string(file).with_context(failed)?;
    let value = value(&text, host);
    ensure!(
        !value.is_empty() && http::HeaderValue::from_str(&value).is_ok(),
        "{}: no cookie for {host}: write NAME=VALUE; NAME=VALUE, or a cookie jar of curl's",
        failed()
    );
    Ok(value)
}

fn value(text: &str, host: &str) -> String {
    let jar: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.strip_prefix("#HttpOnly_").unwrap_or(line))
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
        .filter(|fields: &Vec<_>| fields.len() == JAR_FIELDS)
        .collect();
    if jar.is_empty() {
        return text.trim().to_owned();
    }
    let pairs = jar.iter().filter_map(|fields| match fields.as_slice() {
        [domain, _, _, _, _, name, value] => {
            let domain = domain.trim_start_matches('.');
            let ours =
                host == domain || host.strip_suffix(domain).is_some_and(|d| d.ends_with('.'));
            ours.then(|| format!("{name}={value}"))
        }
        _ => None,
    });
    pairs.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_jar_gives_the_cookies_of_the_host() {
        let jar = "# Netscape HTTP Cookie File\n#HttpOnly_.example.com\tTRUE\t/\tTRUE\t0\tsid\t1\n\
                   other.example\tFALSE\t/\tTRUE\t0\tx\t2\napp.example.com\tFALSE\t/\tTRUE\t0\tlang\ten\n";
        assert_eq!(value(jar, "app.example.com"), "sid=1; lang=en");
        assert_eq!(value(jar, "badexample.com"), "");
        assert_eq!(value("a=b; c=d\n", "x"), "a=b; c=d");
    }
}
