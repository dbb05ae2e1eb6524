//! The configurations of `docs/causes`: the right ones pass, and what each page warns of fails.

use super::*;
use crate::{check::Verdict, diagnose::Cause, lint::read::NoDisk, pages::page};

/// The headings of `The fix` that are products, and the name of a file with such a configuration.
const PRODUCTS: [(&str, Product, &str); 8] = [
    ("nginx", Product::Nginx, "nginx.conf"),
    ("ingress-nginx", Product::IngressNginx, "ingress.yaml"),
    ("HAProxy", Product::Haproxy, "haproxy.cfg"),
    ("Apache", Product::Apache, "apache.conf"),
    ("Caddy", Product::Caddy, "Caddyfile"),
    ("Traefik", Product::Traefik, "traefik.yaml"),
    ("Envoy", Product::Envoy, "envoy.yaml"),
    ("AWS ALB", Product::Alb, "alb.json"),
];

/// What is said of a configuration, as `verdict rule@line`, but for passes and the warnings about timers.
pub(super) fn said(product: Product, name: &str, text: &str) -> Vec<String> {
    let source = Source::new(name, text);
    let linted = lint(product, &[source], &NoDisk, &Options::default(), &[]).unwrap();
    let told = linted.findings.iter().filter(|finding| {
        finding.verdict != Verdict::Pass
            && (finding.verdict != Verdict::Warning || finding.check != "idle-timeout")
    });
    told.map(|finding| {
        let line = finding.place.as_ref().map_or(0, |place| place.line);
        format!("{} {}@{line}", finding.verdict.name(), finding.check)
    })
    .collect()
}

/// What is wrong with a configuration: what only warns is not.
pub(super) fn wrong(product: Product, name: &str, text: &str) -> Vec<String> {
    let mut said = said(product, name, text);
    said.retain(|one| !one.starts_with("warning "));
    said
}

/// Each configuration in the section of a product in a page's `The fix`.
fn snippets(cause: Cause) -> Vec<(Product, &'static str, &'static str)> {
    let page = page(cause);
    let fixes = page.split("\n## ").find(|section| section.starts_with("The fix")).unwrap();
    let mut found = Vec::new();
    for section in fixes.split("\n### ").skip(1) {
        let (heading, text) = section.split_once('\n').unwrap();
        let Some((_, product, name)) = PRODUCTS.iter().find(|(name, ..)| *name == heading.trim())
        else {
            continue;
        };
        for block in text.split("\n```").skip(1).step_by(2) {
            let (language, block) = block.split_once('\n').unwrap();
            // A snippet that is to be removed is a wrong one.
            if language != "sh" && !block.starts_with("# remove") {
                found.push((*product, *name, block));
            }
        }
    }
    found
}

#[test]
fn the_right_configurations_of_the_pages_pass() {
    let mut seen = 0;
    let mut failed = Vec::new();
    for &cause in Cause::ALL {
        for (product, name, text) in snippets(cause) {
            let wrong = wrong(product, name, text);
            // Parts of a whole (a data: block, a service alone) show no path.
            let wrong: Vec<_> = wrong.iter().filter(|one| !one.contains("no-path")).collect();
            if !wrong.is_empty() {
                failed.push(format!("{cause}: {product:?}: {wrong:?}\n{text}"));
            }
            seen += 1;
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(seen > 100, "{seen}");
}
