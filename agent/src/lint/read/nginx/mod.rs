//! nginx: what each location sends to its backend.
//!
//! `syntax` reads the words, `files` follows `include`, `variables` evaluates, `location` makes a route of a location and the
//! levels around it. This file finds the servers and their locations.

pub(super) mod files;
mod location;
pub(super) mod syntax;
mod variables;

use self::{location::Level, variables::Variables};
use super::{
    Disk, Options,
    directive::{Directive, Source, SyntaxError},
};
use crate::lint::model::{Paths, Product, Reading, Route, Tls};

/// The release from which on nginx speaks HTTP/1.1 to backends unless told otherwise.
pub(super) const HTTP11_BY_DEFAULT: [u32; 3] = [1, 29, 7];

/// The routes of nginx files, which are read as one configuration.
pub(super) fn read(
    sources: &[Source],
    disk: &dyn Disk,
    options: &Options,
) -> Result<Reading, SyntaxError> {
    let directives = files::load(sources, disk)?;
    let version =
        options.nginx_version.or_else(|| sources.iter().find_map(|source| version(&source.text)));
    Ok(routes(&directives, version))
}

/// The routes of a fragment, such as a snippet of an annotation.
pub(super) fn routes(directives: &[Directive], version: Option<[u32; 3]>) -> Reading {
    let mut variables = Variables::default();
    variables.learn(directives);
    let mut walk = Walk { variables, version, reading: Reading::default() };
    let outer = Level { parent: None, own: directives };
    walk.unknown(directives);
    for http in directives.iter().filter(|directive| directive.name == "http") {
        walk.unknown(http.children());
        walk.servers(&Level { parent: Some(&outer), own: http.children() });
    }
    walk.servers(&outer);
    // A file of locations only is for a server that includes it.
    if let Some(first) = directives.iter().find(|directive| directive.name == "location") {
        walk.server(first, &Level { parent: None, own: directives });
    }
    walk.reading
}

/// The version in the output of `nginx -V`, when it stands in `text`.
fn version(text: &str) -> Option<[u32; 3]> {
    let (_, rest) = text.split_once("nginx version: ")?;
    let (_, number) = rest.split_whitespace().next()?.split_once('/')?;
    parse_version(number)
}

/// `1.29.7` as numbers.
pub fn parse_version(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.trim().split('.').map(|part| part.parse().ok());
    let version = [parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?];
    parts.next().is_none().then_some(version)
}

struct Walk<'a> {
    variables: Variables<'a>,
    version: Option<[u32; 3]>,
    reading: Reading,
}

impl<'a> Walk<'a> {
    /// Notes the files that are missing where servers stand.
    fn unknown(&mut self, directives: &[Directive]) {
        let missing = directives.iter().filter(|directive| directive.name == "include");
        self.reading.unknown.extend(missing.map(Directive::written));
    }

    fn servers(&mut self, outer: &Level<'a, '_>) {
        for server in outer.own.iter().filter(|directive| directive.name == "server") {
            self.unknown(server.children());
            self.server(server, &Level { parent: Some(outer), own: server.children() });
        }
    }

    fn server(&mut self, server: &'a Directive, level: &Level<'a, '_>) {
        let listens = Listens::of(level.own);
        let name = level
            .own
            .iter()
            .filter(|directive| directive.name == "server_name")
            .flat_map(|directive| &directive.args)
            .find(|name| !name.contains(['*', '~', '$']) && !matches!(name.as_str(), "" | "_"));
        let site = Site {
            label: name.map_or_else(
                || format!("server at {}", server.place),
                |name| format!("{name} ({})", server.place),
            ),
            name: name.map_or("app.example.com", String::as_str),
            listens,
        };
        self.locations(level, &site);
    }

    fn locations(&mut self, level: &Level<'a, '_>, site: &Site<'a>) {
        for location in level.own.iter().filter(|directive| directive.name == "location") {
            let inner = Level { parent: Some(level), own: location.children() };
            if location.arg(0).starts_with('@') {
                for paths in referring(level.own, location.arg(0)) {
                    self.location(location, paths, &inner, site);
                }
            } else {
                self.location(location, paths(location), &inner, site);
            }
            self.locations(&inner, site);
        }
    }

    fn location(
        &mut self,
        location: &'a Directive,
        paths: Paths,
        level: &Level<'a, '_>,
        site: &Site<'a>,
    ) {
        let mut route = Route::new(
            Product::Nginx,
            location.place.clone(),
            &site.label,
            location.written().text,
        );
        route.paths = paths;
        location::describe(&mut route, level, site, &self.variables, self.version);
        self.reading.routes.push(route);
    }
}

/// A server, as its locations see it.
struct Site<'a> {
    label: String,
    name: &'a str,
    listens: Listens<'a>,
}

/// What a server listens on.
struct Listens<'a> {
    tls: Tls,
    /// The port of the TLS listener, else of the first one.
    port: &'a str,
    /// Whether a hop in front speaks the PROXY protocol.
    proxy_protocol: Option<&'a Directive>,
}

impl<'a> Listens<'a> {
    fn of(own: &'a [Directive]) -> Self {
        let listens: Vec<_> = own.iter().filter(|directive| directive.name == "listen").collect();
        let switched =
            own.iter().any(|directive| directive.name == "ssl" && directive.arg(0) == "on");
        let secure = |listen: &Directive| {
            switched || listen.args.iter().any(|arg| arg == "ssl" || arg == "quic")
        };
        let ends = listens.iter().any(|listen| secure(listen));
        let plain = listens.is_empty() || listens.iter().any(|listen| !secure(listen));
        let tls = match (ends, plain) {
            (true, true) => Tls::Both,
            (true, false) => Tls::Ends,
            (false, _) => Tls::Plain,
        };
        let chosen = listens.iter().find(|listen| secure(listen) == ends);
        let address = chosen.map_or("80", |listen| listen.arg(0));
        let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
        let numeric = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            tls,
            port: if numeric { port } else { "80" },
            proxy_protocol: listens
                .iter()
                .find(|listen| listen.args.iter().any(|arg| arg == "proxy_protocol"))
                .copied(),
        }
    }
}

/// Which paths a location takes.
fn paths(location: &Directive) -> Paths {
    let path = location.arg(1).to_owned();
    match location.arg(0) {
        "=" => Paths::Exact(path),
        "^~" => Paths::Final(path),
        "~" => Paths::Regex(path),
        "~*" => Paths::Regex(format!("(?i){path}")),
        "/" => Paths::All,
        prefix => Paths::Prefix(prefix.to_owned()),
    }
}

/// The paths of the locations that hand over to the named one.
fn referring(directives: &[Directive], name: &str) -> Vec<Paths> {
    let hands_over = |directive: &Directive| {
        matches!(directive.name.as_str(), "try_files" | "error_page")
            && directive.args.last().is_some_and(|last| last.trim_start_matches('=') == name)
    };
    let mut found = Vec::new();
    if directives.iter().any(hands_over) {
        found.push(Paths::All);
    }
    for location in directives.iter().filter(|directive| directive.name == "location") {
        if location.children().iter().any(hands_over) {
            found.push(paths(location));
        }
    }
    if found.is_empty() {
        found.push(Paths::Unknown);
    }
    found
}

#[cfg(test)]
mod tests;
