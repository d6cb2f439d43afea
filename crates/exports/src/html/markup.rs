//! Markup in which unescaped text has no place.

use std::fmt::Write as _;

/// What a page may load: its own pictures, media and style sheet. `file:` stands beside `'self'` because pages in a
/// folder have no origin of their own in some browsers.
const POLICY: &str = "default-src 'none'; img-src 'self' data: file:; media-src 'self' file:; style-src 'self' file:; \
                      base-uri 'none'; form-action 'none'";

/// A page being written. Names of elements and attributes are the program's own; all else is escaped.
#[derive(Debug, Default)]
pub(super) struct Markup {
    text: String,
}

impl Markup {
    /// Begins a page; `up` leads to the export's folder ("" or "../").
    pub(super) fn page(title: &str, up: &str) -> Self {
        let mut page = Self {
            text: "<!DOCTYPE html>\n".to_owned(),
        };
        page.open("html", &[("lang", "en")]);
        page.open("head", &[]);
        page.void("meta", &[("charset", "utf-8")]);
        page.void(
            "meta",
            &[
                ("http-equiv", "Content-Security-Policy"),
                ("content", POLICY),
            ],
        );
        page.void(
            "meta",
            &[
                ("name", "viewport"),
                ("content", "width=device-width, initial-scale=1"),
            ],
        );
        page.void("meta", &[("name", "referrer"), ("content", "no-referrer")]);
        page.void(
            "meta",
            &[("name", "color-scheme"), ("content", "light dark")],
        );
        page.element("title", &[], title);
        page.void(
            "link",
            &[("rel", "stylesheet"), ("href", &format!("{up}style.css"))],
        );
        page.close("head");
        page.open("body", &[]);
        page
    }

    /// The finished page.
    pub(super) fn finish(mut self) -> String {
        self.close("body");
        self.close("html");
        self.text.push('\n');
        self.text
    }

    /// Markup without a frame, put into a page later.
    pub(super) fn fragment() -> Self {
        Self::default()
    }

    pub(super) fn append(&mut self, fragment: &Self) {
        self.text.push_str(&fragment.text);
    }

    pub(super) fn open(&mut self, name: &'static str, attributes: &[(&'static str, &str)]) {
        self.text.push('<');
        self.text.push_str(name);
        for (key, value) in attributes {
            let _ = write!(self.text, " {key}=\"");
            escape(value, &mut self.text);
            self.text.push('"');
        }
        self.text.push('>');
    }

    pub(super) fn close(&mut self, name: &'static str) {
        let _ = write!(self.text, "</{name}>");
        if matches!(
            name,
            "p" | "div"
                | "article"
                | "section"
                | "li"
                | "ul"
                | "nav"
                | "header"
                | "main"
                | "head"
                | "body"
        ) {
            self.text.push('\n');
        }
    }

    /// An element that has no content.
    pub(super) fn void(&mut self, name: &'static str, attributes: &[(&'static str, &str)]) {
        self.open(name, attributes);
    }

    pub(super) fn text(&mut self, text: &str) {
        escape(text, &mut self.text);
    }

    /// An element with text in it.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: &[(&'static str, &str)],
        text: &str,
    ) {
        self.open(name, attributes);
        self.text(text);
        self.close(name);
    }

    /// A link out of the export, which tells nobody where it came from.
    pub(super) fn link_out(&mut self, url: &str, text: &str) {
        if is_web(url) {
            self.element(
                "a",
                &[
                    ("href", url),
                    ("rel", "noreferrer noopener"),
                    ("dir", "ltr"),
                ],
                text,
            );
        } else {
            self.text(text);
        }
    }

    /// Text with its web addresses as links.
    pub(super) fn text_with_links(&mut self, text: &str) {
        let mut rest = text;
        while let Some(start) = find_web(rest) {
            let (before, from) = rest.split_at(start);
            let end = from
                .find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"'))
                .unwrap_or(from.len());
            let url = from[..end].trim_end_matches([
                '.', ',', ';', ':', '!', '?', ')', ']', '}', '\'', '*', '_', '~',
            ]);
            self.text(before);
            self.link_out(url, url);
            rest = &from[url.len()..];
        }
        self.text(rest);
    }
}

fn find_web(text: &str) -> Option<usize> {
    // What is trimmed from an address's end must leave something behind "://".
    let starts = |scheme: &str| {
        text.match_indices(scheme).map(|(at, _)| at).find(|at| {
            text[at + scheme.len()..]
                .chars()
                .next()
                .is_some_and(char::is_alphanumeric)
        })
    };
    [starts("https://"), starts("http://")]
        .into_iter()
        .flatten()
        .min()
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in HTML, and nothing to see.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
}

/// A path in an address: every byte that could mean something else is written as `%XX`.
pub(super) fn path(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(text: &str) -> String {
        let mut markup = Markup::fragment();
        markup.text_with_links(text);
        markup.text
    }

    #[test]
    fn text_and_attributes_are_escaped() {
        let mut markup = Markup::fragment();
        markup.element("p", &[("title", "\"><script>")], "<b>&'\u{0}");
        assert_eq!(
            markup.text,
            "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;b&gt;&amp;&#39;\u{FFFD}</p>\n"
        );
    }

    #[test]
    fn only_web_addresses_become_links() {
        assert_eq!(
            linked("javascript:alert(1) file:///x"),
            "javascript:alert(1) file:///x"
        );
        assert_eq!(
            linked("see https://a.example/x?a=1&b=2."),
            "see <a href=\"https://a.example/x?a=1&amp;b=2\" rel=\"noreferrer noopener\" dir=\"ltr\">\
             https://a.example/x?a=1&amp;b=2</a>."
        );
        assert_eq!(linked("https:// and http://..."), "https:// and http://...");
        assert!(linked("https://x\"onclick=1").contains("</a>&quot;onclick=1"));
    }

    #[test]
    fn paths_hold_no_character_that_an_address_gives_a_meaning() {
        assert_eq!(path("a b/50%#?.jpg"), "a%20b/50%25%23%3F.jpg");
        assert_eq!(path("ü"), "%C3%BC");
    }
}
