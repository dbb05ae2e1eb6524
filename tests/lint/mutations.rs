//! No crash on 10,000 broken configurations: each is one from the wild, cut, doubled or mixed with another's words, read as
//! what it was and as what it never was.

use std::fs;

use wstap::lint::{
    fix, lint,
    model::Product,
    read::{NoDisk, Options, detect, directive::Source},
};

use crate::wild::all;

const ROUNDS: usize = 10_000;

/// Any number below `bound`; the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

/// Characters and words at which the readers do something.
const WORDS: [&str; 28] = [
    "{",
    "}",
    ";",
    "\"",
    "'",
    "\\",
    "#",
    "\n",
    "$",
    "${",
    "%[",
    "%{",
    "]",
    "<",
    "</",
    ">",
    ":",
    "- ",
    "<<",
    "&a",
    "*a",
    "|",
    "\u{0}",
    "\u{e9}",
    "\u{1f600}",
    "if {",
    "map $a $a {",
    "import x",
];

fn mutated(text: &str, other: &str, dice: &mut Dice) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let others: Vec<char> = other.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(chars.len());
        let end = (at + dice.below(40)).min(chars.len());
        match dice.below(5) {
            0 => drop(chars.drain(at..end)),
            1 => {
                let piece = chars[at..end].to_vec();
                chars.splice(at..at, piece);
            }
            2 => chars.truncate(at),
            3 => {
                let from = dice.below(others.len());
                let to = (from + dice.below(80)).min(others.len());
                chars.splice(at..at, others[from..to].iter().copied());
            }
            _ => drop(chars.splice(at..at, WORDS[dice.below(WORDS.len())].chars())),
        }
    }
    chars.into_iter().collect()
}

#[test]
fn ten_thousand_broken_configurations_crash_nothing() {
    let files: Vec<(String, String, Product)> = all()
        .into_iter()
        .map(|(path, _)| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let product = detect(&Source::new(&name, &text)).unwrap();
            (name, text, product)
        })
        .collect();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut read = 0;
    for round in 0..ROUNDS {
        let (name, text, product) = &files[round % files.len()];
        let (_, other, foreign) = &files[dice.below(files.len())];
        let text = mutated(text, other, &mut dice);
        let product = if dice.below(10) == 0 { *foreign } else { *product };
        let source = Source::new(name, &text);
        let _ = detect(&source);
        if let Ok(linted) = lint(product, &[source], &NoDisk, &Options::default(), &[]) {
            read += 1;
            let lines = text.lines().count() + 1;
            for place in linted.findings.iter().filter_map(|finding| finding.place.as_ref()) {
                let own = place.file != *name || (1..=lines).contains(&(place.line as usize));
                assert!(own, "{place:?}\n{text}");
            }
            let _ = fix::diff(product, &linted, &|_| Some(text.clone()));
        }
    }
    // Many must be read, or this tests the error messages only.
    assert!(read > ROUNDS / 3, "{read}");
}
