//! Data formats with line numbers: YAML (of which JSON is a part) and TOML, as one tree.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle};
use toml::de::{DeTable, DeValue};

use super::directive::{MAX_DEPTH, Source, SyntaxError};
use crate::lint::model::{Place, Written};

/// A file of more values, with what its aliases repeat, is refused.
const MAX_NODES: usize = 200_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Data,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// Text, a number, a truth value or nothing, as written; and whether it is a block of lines (`|`).
    Scalar(String, bool),
    List(Vec<Node>),
    /// Keys in their order, each with its line.
    Map(Vec<(String, Place, Node)>),
}

impl Node {
    /// The value of a key; also one that is merged in (`<<`).
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Data::Map(entries) = &self.value else { return None };
        let own = entries.iter().find(|(name, ..)| name == key).map(|(.., node)| node);
        own.or_else(|| {
            let (.., merged) = entries.iter().find(|(name, ..)| name == "<<")?;
            match &merged.value {
                Data::List(items) => items.iter().find_map(|item| item.own(key)),
                _ => merged.own(key),
            }
        })
    }

    fn own(&self, key: &str) -> Option<&Self> {
        self.entries().find(|(name, ..)| *name == key).map(|(.., node)| node)
    }

    /// The value at the end of a way of keys.
    pub(super) fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries of a mapping: key, its place, value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Place, &Self)> {
        let entries = match &self.value {
            Data::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(key, place, node)| (key.as_str(), place, node))
    }

    /// The items of a list.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Data::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// The text of the scalar under a key, else empty.
    pub(super) fn text_of(&self, key: &str) -> &str {
        self.get(key).and_then(Self::text).unwrap_or_default()
    }

    /// A scalar under its key, as evidence.
    pub(super) fn written(&self, key: &str) -> Option<Written> {
        let node = self.get(key)?;
        Some(Written {
            place: node.place.clone(),
            text: format!("{key}: {}", node.text().unwrap_or("...")),
        })
    }

    /// This value and every one in it, outer ones first.
    pub(super) fn all(&self) -> Vec<&Self> {
        let mut found = vec![self];
        let mut at = 0;
        while let Some(node) = found.get(at).copied() {
            match &node.value {
                Data::List(items) => found.extend(items),
                Data::Map(entries) => found.extend(entries.iter().map(|(.., node)| node)),
                Data::Scalar(..) => {}
            }
            at += 1;
        }
        found
    }
}

/// The documents of a file: TOML if it is called so, else YAML or JSON.
pub(super) fn parse(source: &Source) -> Result<Vec<Node>, SyntaxError> {
    if source.name.ends_with(".toml") { toml(source).map(|node| vec![node]) } else { yaml(source) }
}

fn error(source: &Source, line: usize, what: impl Into<String>) -> SyntaxError {
    SyntaxError { place: place(source, line), what: what.into() }
}

fn place(source: &Source, line: usize) -> Place {
    Place { file: source.name.clone(), line: u32::try_from(line).unwrap_or(u32::MAX) }
}

/// What is being read: a list or a mapping that is not at its end.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<(String, Place)>,
}

fn yaml(source: &Source) -> Result<Vec<Node>, SyntaxError> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut count = 0_usize;
    for event in Parser::new_from_str(&source.text) {
        let (event, span) =
            event.map_err(|why| error(source, why.marker().line(), why.info().to_owned()))?;
        let place = place(source, span.start.line());
        count += 1;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let literal = matches!(style, ScalarStyle::Literal);
                (Node { place, value: Data::Scalar(text.into_owned(), literal) }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = anchors.get(&anchor) else { continue };
                count += node.all().len();
                (node.clone(), 0)
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open {
                    node: Node { place, value: Data::List(Vec::new()) },
                    anchor,
                    key: None,
                });
                if open.len() > MAX_DEPTH {
                    return Err(error(source, span.start.line(), "too many values in each other"));
                }
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open {
                    node: Node { place, value: Data::Map(Vec::new()) },
                    anchor,
                    key: None,
                });
                if open.len() > MAX_DEPTH {
                    return Err(error(source, span.start.line(), "too many values in each other"));
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else { continue };
                (done.node, done.anchor)
            }
            _ => continue,
        };
        if count > MAX_NODES {
            return Err(error(source, span.start.line(), format!("more than {MAX_NODES} values")));
        }
        if anchor > 0 {
            anchors.insert(anchor, node.clone());
        }
        let Some(outer) = open.last_mut() else {
            documents.push(node);
            continue;
        };
        match (&mut outer.node.value, outer.key.take()) {
            (Data::List(items), _) => items.push(node),
            (Data::Map(entries), Some((key, place))) => entries.push((key, place, node)),
            (Data::Map(_), None) => {
                outer.key = Some((node.text().unwrap_or("?").to_owned(), node.place));
            }
            (Data::Scalar(..), _) => {}
        }
    }
    Ok(documents)
}

fn toml(source: &Source) -> Result<Node, SyntaxError> {
    let starts: Vec<usize> = source.text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |at: usize| starts.partition_point(|newline| *newline < at) + 1;
    let table = DeTable::parse(&source.text).map_err(|why| {
        error(source, why.span().map_or(1, |span| line(span.start)), why.message().to_owned())
    })?;
    let at = place(source, 1);
    Ok(Node { place: at, value: table_data(source, table.get_ref(), &line) })
}

fn table_data(source: &Source, table: &DeTable<'_>, line: &dyn Fn(usize) -> usize) -> Data {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let at = place(source, line(key.span().start));
            let node = value_node(source, value.get_ref(), line(value.span().start), line);
            (key.get_ref().to_string(), at, node)
        })
        .collect();
    entries.sort_by_key(|(_, place, _)| place.line);
    Data::Map(entries)
}

/// The library bounds how deep values stand in each other.
fn value_node(
    source: &Source,
    value: &DeValue<'_>,
    at: usize,
    line: &dyn Fn(usize) -> usize,
) -> Node {
    let scalar = |text: Cow<'_, str>| Data::Scalar(text.into_owned(), false);
    let value = match value {
        DeValue::String(text) => scalar(Cow::Borrowed(text)),
        DeValue::Integer(number) => scalar(number.as_str().into()),
        DeValue::Float(number) => scalar(number.as_str().into()),
        DeValue::Boolean(truth) => scalar(truth.to_string().into()),
        DeValue::Datetime(time) => scalar(time.to_string().into()),
        DeValue::Array(items) => Data::List(
            items
                .iter()
                .map(|item| value_node(source, item.get_ref(), line(item.span().start), line))
                .collect(),
        ),
        DeValue::Table(table) => table_data(source, table, line),
    };
    Node { place: place(source, at), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Node {
        parse(&Source::new(name, text)).unwrap().remove(0)
    }

    #[test]
    fn yaml_json_and_toml_are_one_tree_with_lines() {
        for (name, text, line) in [
            ("a.yaml", "a:\n  b:\n    - c: 7\n", 3),
            ("a.json", "{\n\t\"a\": {\n\t\t\"b\": [{\"c\": 7}]}}", 3),
            ("a.toml", "[a]\n\nb = [{ c = 7 }]\n", 3),
        ] {
            let node = one(name, text);
            let c = node.at(&["a", "b"]).unwrap().items()[0].get("c").unwrap();
            assert_eq!((c.text(), c.place.line), (Some("7"), line), "{name}");
        }
    }

    #[test]
    fn documents_aliases_merges_and_blocks() {
        let text = "a: &x {k: 1}\nb:\n  <<: *x\n---\nc: |\n  one\n  two\n";
        let all = parse(&Source::new("a.yaml", text)).unwrap();
        assert_eq!(all[0].at(&["b", "k"]).unwrap().text(), Some("1"));
        assert_eq!(all[1].get("c").unwrap().value, Data::Scalar("one\ntwo\n".into(), true));
    }

    #[test]
    fn what_is_too_much_or_wrong_is_an_error_with_its_line() {
        assert_eq!(parse(&Source::new("a.yaml", "a: 1\nb: ]\n")).unwrap_err().place.line, 2);
        assert_eq!(parse(&Source::new("a.toml", "a = 1\nb = \n")).unwrap_err().place.line, 2);
        assert!(parse(&Source::new("a.yaml", &"[".repeat(5000))).is_err());
        let mut bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 9].join(",");
            bomb += &["a", &level.to_string(), ": &a", &level.to_string(), " [", &before, "]\n"]
                .concat();
        }
        assert!(parse(&Source::new("a.yaml", &bomb)).is_err());
    }
}
