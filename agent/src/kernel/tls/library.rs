//! TLS libraries: by which files they are known, and which of their functions are probed by which programs.

use std::{fs::File, path::Path};

use object::ReadCache;

use super::{image::Image, uprobe::Place};

/// What is wanted of a library: by name, how it moves plaintext and how a connection ends.
struct Library {
    /// As `--tls`, events and `wstap doctor` call it.
    name: &'static str,
    /// How its files' names begin; empty for what is part of programs.
    file: &'static str,
    functions: &'static [Function],
    /// Two pairs of functions that each share one without a name, and the program for it: where a probe on them would be
    /// single-stepped, that one may do.
    shared: &'static [(&'static str, &'static str, &'static str)],
}

struct Function {
    symbol: &'static str,
    program: &'static str,
    /// Whether the end of the call is wanted, too.
    returns: bool,
}

const fn call(symbol: &'static str, program: &'static str) -> Function {
    Function { symbol, program, returns: true }
}

const fn end(symbol: &'static str, program: &'static str) -> Function {
    Function { symbol, program, returns: false }
}

/// What runs as a probed function returns.
const DONE: &str = "wt_done";
/// What runs at each RET of a Go function: a return probe changes the stack, which Go's runtime takes for broken.
const GO_DONE: &str = "wt_go_done";

/// The programs of the family.
pub(in crate::kernel) const PROGRAMS: [&str; 12] = [
    "wt_read",
    "wt_read_ex",
    "wt_read_in",
    "wt_write",
    "wt_write_ex",
    DONE,
    "wt_shut",
    "wt_free",
    "wt_go_read",
    "wt_go_write",
    GO_DONE,
    "wt_go_close",
];

const OPENSSL: &[Function] = &[
    call("SSL_read", "wt_read"),
    call("SSL_read_ex", "wt_read_ex"),
    call("SSL_write", "wt_write"),
    call("SSL_write_ex", "wt_write_ex"),
    end("SSL_shutdown", "wt_shut"),
    end("SSL_free", "wt_free"),
];

const LIBRARIES: [Library; 5] = [
    Library { name: "openssl", file: "libssl.so", functions: OPENSSL, shared: SHARED },
    Library {
        name: "gnutls",
        file: "libgnutls.so",
        functions: &[
            call("gnutls_record_recv", "wt_read"),
            call("gnutls_record_send", "wt_write"),
            end("gnutls_bye", "wt_shut"),
            end("gnutls_deinit", "wt_free"),
        ],
        shared: &[],
    },
    Library {
        name: "mbedtls",
        file: "libmbedtls.so",
        functions: &[
            call("mbedtls_ssl_read", "wt_read"),
            call("mbedtls_ssl_write", "wt_write"),
            end("mbedtls_ssl_close_notify", "wt_shut"),
            end("mbedtls_ssl_free", "wt_free"),
        ],
        shared: &[],
    },
    Library {
        name: "wolfssl",
        file: "libwolfssl.so",
        functions: &[
            call("wolfSSL_read", "wt_read"),
            call("wolfSSL_write", "wt_write"),
            end("wolfSSL_shutdown", "wt_shut"),
            end("wolfSSL_free", "wt_free"),
        ],
        shared: &[],
    },
    // Node and others that are linked with it.
    Library { name: "openssl", file: "", functions: OPENSSL, shared: SHARED },
];

const SHARED: &[(&str, &str, &str)] =
    &[("SSL_read", "SSL_read_ex", "wt_read_in"), ("SSL_write", "SSL_write_ex", "wt_write_ex")];

/// Go's functions, of its crypto/tls.
const GO: [(&str, &str, bool); 3] = [
    ("crypto/tls.(*Conn).Read", "wt_go_read", true),
    ("crypto/tls.(*Conn).Write", "wt_go_write", true),
    ("crypto/tls.(*Conn).Close", "wt_go_close", false),
];

/// What read-only data of a program with a TLS library inside say, and what it is then.
const INSIDE: [(&str, &str); 3] =
    [("BoringSSL", "BoringSSL"), ("rustls", "rustls"), ("OpenSSL 3.", "OpenSSL without symbols")];

/// What can be done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It holds no TLS library that is known.
    Nothing,
    /// It ends TLS, and its functions cannot be found or would cost too much: why.
    Not(String),
    /// Where the programs go.
    Places { library: &'static str, places: Vec<Place> },
}

/// The library that a mapped file is, by its name.
pub(super) fn is_library(file: &Path) -> bool {
    known(file).is_some()
}

fn known(file: &Path) -> Option<&'static Library> {
    let name = file.file_name()?.to_str()?;
    LIBRARIES.iter().find(|library| !library.file.is_empty() && name.starts_with(library.file))
}

/// Plans the probes on a mapped library or on a program itself. `costly` allows places that the kernel single-steps.
pub(super) fn plan(path: &Path, file: File, costly: bool) -> Plan {
    let cache = ReadCache::new(file);
    let Some(image) = Image::read(&cache) else { return Plan::Nothing };
    let Some(library) = known(path) else { return plan_program(&image, costly) };
    plan_library(&image, library, costly)
        .unwrap_or_else(|| Plan::Not(format!("{} without its usual functions", library.name)))
}

fn plan_program(image: &Image<'_>, costly: bool) -> Plan {
    if let Some(plan) = plan_go(image) {
        return plan;
    }
    let linked = LIBRARIES.iter().filter(|library| library.file.is_empty());
    for library in linked {
        if let Some(plan) = plan_library(image, library, costly) {
            return plan;
        }
    }
    let texts = INSIDE.map(|(text, _)| text);
    match image.mentions(&texts) {
        Some(text) => {
            let what = INSIDE.iter().find(|(one, _)| *one == text).map_or(text, |(_, what)| what);
            Plan::Not(format!("{what} inside, and no functions by name"))
        }
        None => Plan::Nothing,
    }
}

/// `None` when the library's functions are not there.
fn plan_library(image: &Image<'_>, library: &Library, costly: bool) -> Option<Plan> {
    let cheap = |symbol| image.function(symbol).and_then(|found| image.cheap_offset(found));
    let dear = |symbol| image.function(symbol).is_some() && cheap(symbol).is_none();
    let mut places = Vec::new();
    // Both of a pair go through what they share: a probe on one of them as well would take each call twice.
    let mut done = Vec::new();
    for (one, other, program) in library.shared {
        if !dear(one) && !dear(other) {
            continue;
        }
        let shared = image.common_callee(one, other).and_then(|found| image.cheap_offset(found));
        if let Some(offset) = shared {
            add(&mut places, program, offset, true);
            done.extend([*one, *other]);
        }
    }
    let mut refused = Vec::new();
    for function in library.functions.iter().filter(|function| !done.contains(&function.symbol)) {
        let Some(found) = image.function(function.symbol) else { continue };
        match cheap(function.symbol) {
            Some(offset) => add(&mut places, function.program, offset, function.returns),
            // What runs once a connection may cost what it likes.
            None if costly || !function.returns => {
                add(&mut places, function.program, image.begin(found)?, function.returns);
            }
            None => refused.push(function.symbol),
        }
    }
    if !refused.is_empty() {
        let why = format!(
            "{}: a probe on {} would be single-stepped",
            library.name,
            refused.join(" and ")
        );
        return Some(Plan::Not(why));
    }
    let moves = places.iter().any(|place| place.returns);
    moves.then_some(Plan::Places { library: library.name, places })
}

fn add(places: &mut Vec<Place>, program: &'static str, offset: u64, returns: bool) {
    places.push(Place { program, offset, returns: false });
    if returns {
        places.push(Place { program: DONE, offset, returns: true });
    }
}

fn plan_go(image: &Image<'_>) -> Option<Plan> {
    let mut places = Vec::new();
    for (symbol, program, returns) in GO {
        let (begin, ends) = match image.go(symbol) {
            Some(found) => found,
            // A program that never closes by itself does without.
            None if !returns => continue,
            None => return None,
        };
        places.push(Place { program, offset: begin, returns: false });
        if returns {
            places.extend(ends.into_iter().map(|offset| Place {
                program: GO_DONE,
                offset,
                returns: false,
            }));
        }
    }
    Some(Plan::Places { library: "go", places })
}
