//! `wstap lint`: what is wrong for WebSocket in a proxy's configuration, before a client meets it.
//!
//! In: configuration files. Out: findings (`check`). `read/` makes the neutral model (`model`) of each product's files,
//! `hints` concludes which routes carry WebSocket, `rules/` judges those, `fix` writes a diff of what is mechanical.
//! No network, no root, and no program of the product.

pub mod fix;
pub mod hints;
pub mod model;
pub mod read;
pub mod rules;

use self::{
    hints::{Role, roles},
    model::{Place, Product, Reading, Route},
    read::{Disk, Options, directive::Source, directive::SyntaxError},
    rules::Rule,
};
use crate::check::Finding;

/// What was found in files that are one configuration.
#[derive(Debug)]
pub struct Linted {
    /// The findings, in the order of the files.
    pub findings: Vec<Finding>,
    /// The routes that they are about, with what each is for.
    pub routes: Vec<(Route, Role)>,
}

/// Judges the files of one configuration of `product`; `paths`: those that carry WebSocket, as the user says.
pub fn lint(
    product: Product,
    sources: &[Source],
    disk: &dyn Disk,
    options: &Options,
    paths: &[String],
) -> Result<Linted, SyntaxError> {
    let Reading { mut routes, unknown } = read::read(product, sources, disk, options)?;
    if options.tls_in_front {
        let by = model::Written {
            place: Place { file: "command line".into(), line: 1 },
            text: "--tls-in-front".into(),
        };
        for route in &mut routes {
            route.front.get_or_insert_with(|| by.clone());
        }
    }
    let roles = roles(&routes, paths);
    let mut findings: Vec<Finding> = Vec::new();
    for (route, role) in routes.iter().zip(&roles) {
        for finding in rules::judge(route, role) {
            // A directive of an outer level is found for each route below it: it is told once, at its worst.
            let same =
                |other: &&mut Finding| other.check == finding.check && other.place == finding.place;
            match findings.iter_mut().find(same) {
                Some(told) if told.verdict > finding.verdict => *told = finding,
                Some(_) => {}
                None => findings.push(finding),
            }
        }
    }
    for unknown in &unknown {
        let what = format!("{} was not read, and may hold more", unknown.text);
        findings.push(rules::general(Rule::NotFollowed, &unknown.place, what));
    }
    let judged = |(route, role): (&Route, &Role)| {
        let answers = matches!(role, Role::Asked(_)) || route.redirects.is_some();
        *role != Role::Other && (route.forwards || answers || !route.oddities.is_empty())
    };
    if !routes.iter().zip(&roles).any(judged) {
        findings.push(no_path(product, sources, &routes, paths));
    }
    Ok(Linted { findings, routes: routes.into_iter().zip(roles).collect() })
}

/// What is said when no route is known to be WebSocket's.
fn no_path(product: Product, sources: &[Source], routes: &[Route], paths: &[String]) -> Finding {
    let first = sources.first().map_or_else(|| "".into(), |source| source.name.clone());
    let place = routes
        .iter()
        .find(|route| route.is_catch_all())
        .map_or(Place { file: first, line: 1 }, |route| route.place.clone());
    let what = if paths.is_empty() {
        format!(
            "nothing shows which of the {} routes of this {} configuration carries WebSocket: name its path with --path",
            routes.len(),
            product.name()
        )
    } else {
        format!("no route takes {}", paths.join(", "))
    };
    rules::general(if paths.is_empty() { Rule::NoPath } else { Rule::NotForwarded }, &place, what)
}

#[cfg(test)]
mod tests;
