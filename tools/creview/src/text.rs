// SPDX-License-Identifier: GPL-2.0

//! Source text in Rust and in C: separates code from comments, and removes from C what makes no difference.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The code and the comments of a file. Both have the lines of the file; literals are blank in both.
pub struct Parts {
    pub code: String,
    pub comments: String,
}

/// Splits a file of Rust or C.
pub fn split(source: &str) -> Parts {
    let bytes = source.as_bytes();
    let mut code = blank(bytes);
    let mut comments = blank(bytes);
    let mut at = 0;
    while at < bytes.len() {
        let (end, to) = match &bytes[at..] {
            [b'/', b'/', ..] => (line_end(bytes, at), Some(&mut comments)),
            [b'/', b'*', ..] => (block_end(bytes, at), Some(&mut comments)),
            [b'"', ..] => (quoted_end(bytes, at), None),
            [b'r', b'"' | b'#', ..] if !follows_word(bytes, at) => match raw_end(bytes, at) {
                Some(end) => (end, None),
                None => (at + 1, Some(&mut code)),
            },
            [b'\'', b'\\', ..] | [b'\'', _, b'\'', ..] => (quoted_end(bytes, at), None),
            _ => (at + 1, Some(&mut code)),
        };
        if let Some(to) = to {
            to[at..end].copy_from_slice(&bytes[at..end]);
        }
        at = end;
    }
    let text = |bytes| String::from_utf8_lossy(&Vec::<u8>::into_boxed_slice(bytes)).into_owned();
    Parts {
        code: text(code),
        comments: text(comments),
    }
}

/// As many bytes, all of them spaces but the ends of lines.
fn blank(bytes: &[u8]) -> Vec<u8> {
    let keep = |&byte: &u8| if byte == b'\n' { byte } else { b' ' };
    bytes.iter().map(keep).collect()
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length)
}

fn block_end(bytes: &[u8], at: usize) -> usize {
    memchr::memmem::find(&bytes[at + 2..], b"*/").map_or(bytes.len(), |length| at + 2 + length + 2)
}

/// The end of the literal that begins at `at` with its quotation mark.
fn quoted_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != bytes[at] {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(bytes.len())
}

/// The end of Rust's raw string at `at`, if there is one.
fn raw_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|&&byte| byte == b'#');
    let hashes = hashes.count();
    let start = at + 1 + hashes;
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    memchr::memmem::find(&bytes[start + 1..], &close).map(|length| start + 1 + length + close.len())
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && is_word(bytes[at - 1])
}

/// Whether a byte may be part of an identifier.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The identifiers of a text, each with its position.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || loop {
        while at < bytes.len() && !is_word(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_word(bytes[at]) {
            at += 1;
        }
        match bytes.get(start) {
            None => return None,
            Some(byte) if byte.is_ascii_digit() => {}
            Some(_) => return Some((start, &text[start..at])),
        }
    })
}

/// The number of the line at a position, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count()
}

/// C operators of more than one character: `--` is another thing than `- -`.
const OPERATORS: [&str; 24] = [
    "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=",
    "-=", "*=", "/=", "%=", "&=", "|=", "^=", "##", "//",
];

/// C source, a token after the other with one space in between: no comments, no layout.
pub fn normalised(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut text = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let (end, token) = match bytes[at] {
            b'/' if rest.starts_with("//") => (line_end(bytes, at), false),
            b'/' if rest.starts_with("/*") => (block_end(bytes, at), false),
            b'\\' if rest.starts_with("\\\n") => (at + 2, false),
            b'"' | b'\'' => (quoted_end(bytes, at), true),
            byte if byte.is_ascii_whitespace() => (at + 1, false),
            byte if is_word(byte) => {
                let more = bytes[at..].iter().take_while(|&&byte| is_word(byte));
                (at + more.count(), true)
            }
            _ => {
                let operator = OPERATORS
                    .iter()
                    .find(|operator| rest.starts_with(**operator));
                let one = rest.chars().next().map_or(1, char::len_utf8);
                (at + operator.map_or(one, |operator| operator.len()), true)
            }
        };
        if token {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&source[at..end]);
        }
        at = end;
    }
    text
}

/// The hash of a text in the list: 12 hexadecimal digits of its SHA-256.
pub fn hash(text: &str) -> String {
    let mut digits = String::new();
    for byte in &Sha256::digest(text.as_bytes())[..6] {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_comments_are_kept_apart() {
        let source =
            "let a = \"// no\"; // yes()\nlet b: &'a u8 = r#\"f()\"#; /* two\nlines */ g('\"');\n";
        let parts = split(source);
        assert_eq!(parts.code.lines().count(), 3);
        assert_eq!(
            parts.code.split_whitespace().collect::<Vec<_>>().join(" "),
            "let a = ; let b: &'a u8 = ; g( );"
        );
        assert_eq!(
            parts.comments.split_whitespace().collect::<Vec<_>>(),
            ["//", "yes()", "/*", "two", "lines", "*/"]
        );
    }

    #[test]
    fn layout_and_comments_make_no_difference() {
        let a = normalised("int f(int a)\n{\n\treturn a - -1; /* why */\n}\n");
        let b = normalised("int\nf( int a ){ return a-   -1; } // because\n");
        assert_eq!(a, b);
        assert_eq!(hash(&a).len(), 12);
        assert_ne!(normalised("a--b"), normalised("a - -b"));
        assert_ne!(normalised("f(\"a b\")"), normalised("f(\"a  b\")"));
        assert_eq!(
            normalised("#define f(a) \\\n\tg(a)"),
            normalised("#define f(a) g(a)")
        );
    }

    #[test]
    fn words_and_their_lines() {
        let text = "ab(c1)\n 12 _d";
        let found: Vec<_> = words(text).collect();
        assert_eq!(found, [(0, "ab"), (3, "c1"), (11, "_d")]);
        assert_eq!(line_of(text, 11), 2);
    }
}
