//! `wstap lint`: any text, as what it looks like and as every other product's, through the readers, the rules and the fixes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wstap::lint::{
    fix, lint,
    model::Product,
    read::{NoDisk, Options, detect, directive::Source},
};

const PRODUCTS: [Product; 9] = [
    Product::Nginx,
    Product::Haproxy,
    Product::Apache,
    Product::Caddy,
    Product::IngressNginx,
    Product::GatewayApi,
    Product::Traefik,
    Product::Envoy,
    Product::Alb,
];

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX).max(1);
    // The name decides between YAML and TOML.
    for name in ["fuzz", "fuzz.toml"] {
        let source = Source::new(name, &text);
        let looks = detect(&source);
        // One that it may not be for, so that no reader relies on what the detection looked for.
        let other = PRODUCTS.get(data.len() % PRODUCTS.len()).copied();
        for product in looks.into_iter().chain(other) {
            let sources = [source.clone()];
            let Ok(linted) = lint(product, &sources, &NoDisk, &Options::default(), &[]) else {
                continue;
            };
            for place in linted.findings.iter().filter_map(|finding| finding.place.as_ref()) {
                // A part of the output of `nginx -T` has a name and lines of its own; a snippet's end may lie behind a cut.
                assert!(
                    place.line >= 1 && (place.line <= lines + 1 || place.file != name),
                    "{place:?} of {lines}"
                );
            }
            let _ = fix::diff(product, &linted, &|_| Some(text.clone().into_owned()));
        }
    }
});
