//! The kit as a page to print: tagged PDF/UA, A4 or Letter.

use std::num::NonZeroU16;

use krilla::configure::{Accessibility, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::Metadata;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::surface::Surface;
use krilla::tagging::{Artifact, ArtifactType, ContentTag, SpanTag, Tag, TagGroup, TagTree};
use krilla::text::{Font, TextDirection};
use krilla::{Document, SerializeSettings};
use qrcode::{Color, QrCode};

use super::{BY_HAND, Kit, NOBODY_ASKS, line_label};
use crate::args::manage::Paper;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::server::paper;

const MARGIN: f32 = 56.0;
const BODY: f32 = 10.5;
const LEADING: f32 = 16.0;

struct Fonts {
    regular: Font,
    bold: Font,
    mono: Font,
}

/// Draws the page.
///
/// PDF has no way to be wiped: the caller writes the bytes to a private file at once.
pub(crate) fn pdf(kit: &Kit, paper: Paper) -> Result<Vec<u8>, Failure> {
    // A path with characters that the font lacks is better printed with gaps than not at all.
    draw(kit, paper, true).or_else(|_| draw(kit, paper, false))
}

fn draw(kit: &Kit, paper: Paper, accessible: bool) -> Result<Vec<u8>, Failure> {
    let failed = || Failure::new(Exit::Failed, "the page could not be drawn");
    let (width, height) = match paper {
        Paper::A4 => (595.0, 842.0),
        Paper::Letter => (612.0, 792.0),
    };
    let mut builder = ConfigurationBuilder::new();
    if accessible {
        builder = builder.with_accessibility_validator(Accessibility::UA1);
    }
    let configuration = builder.finish().map_err(|_| failed())?;
    let mut document = Document::new_with(SerializeSettings {
        configuration,
        ..SerializeSettings::default()
    });
    document.set_metadata(
        Metadata::new()
            .title("Heirloom recovery kit".into())
            .language("en".into())
            .creator("Heirloom".into()),
    );
    let mut outline = Outline::new();
    let top = XyzDestination::new(0, Point::from_xy(MARGIN, MARGIN));
    outline.push_child(OutlineNode::new("Heirloom recovery kit".into(), top));
    document.set_outline(outline);

    let font = |bytes: &'static [u8]| Font::new(bytes.into(), 0).ok_or_else(failed);
    let fonts = Fonts {
        regular: font(dejavu::sans::regular())?,
        bold: font(dejavu::sans::bold())?,
        mono: font(dejavu::sans_mono::regular())?,
    };
    let mut page =
        document.start_page_with(PageSettings::from_wh(width, height).ok_or_else(failed)?);
    let surface = page.surface();
    let mut sheet = Sheet {
        surface,
        fonts,
        tree: TagTree::new(),
        y: MARGIN + 12.0,
        width: width - 2.0 * MARGIN,
        bottom: height - MARGIN + 16.0,
    };
    sheet.fill(kit)?;
    let tree = sheet.finish();
    page.finish();
    document.set_tag_tree(tree);
    document.finish().map_err(|_| failed())
}

struct Sheet<'a> {
    surface: Surface<'a>,
    fonts: Fonts,
    tree: TagTree,
    y: f32,
    width: f32,
    /// Where the last line may stand.
    bottom: f32,
}

impl Sheet<'_> {
    fn fill(&mut self, kit: &Kit) -> Result<(), Failure> {
        self.heading("Heirloom recovery kit", 1, 22.0);
        self.paragraph("With this page and the backup you get every message back. Without it, and without another way in, nobody can: not us, not your cloud. Keep it where you keep your passport.");
        self.y += 8.0;

        self.heading("Your recovery key", 2, 13.0);
        self.y += 4.0;
        let (mono, regular) = (self.fonts.mono.clone(), self.fonts.regular.clone());
        for (at, line) in kit.key_lines().iter().enumerate() {
            self.y += 8.0;
            let mut group = TagGroup::new(Tag::P);
            self.line(&mut group, MARGIN, &mono, 19.0, line);
            let label = line_label(at);
            self.line(&mut group, MARGIN + 268.0, &regular, 8.0, &label);
            self.tree.push(group);
            self.y += LEADING;
        }
        self.y += 8.0;
        self.qr(&kit.qr()?, 104.0);
        if let Some(sign_in) = &kit.sign_in {
            self.heading("Your sign-in", 2, 13.0);
            self.paragraph(&sign_in.sentence());
            for line in paper::lines(&sign_in.code).iter() {
                let mut group = TagGroup::new(Tag::P);
                self.line(&mut group, MARGIN, &mono, 13.0, line);
                self.tree.push(group);
                self.y += LEADING;
            }
            self.qr(&sign_in.qr()?, 76.0);
        }

        self.heading("About this backup", 2, 13.0);
        for (what, value) in kit.facts() {
            self.fact(what, &value);
        }
        self.y += 8.0;

        self.heading("To get everything back", 2, 13.0);
        for (at, step) in kit.steps().into_iter().enumerate() {
            self.paragraph(&format!("{}. {step}", at + 1));
        }
        self.y += 8.0;
        self.heading("Keep it to yourself", 2, 13.0);
        self.paragraph(NOBODY_ASKS);
        self.paragraph("If this page is lost or was seen by others: run `heirloom protect add recovery-key`, then `heirloom protect remove` with this key's name.");
        self.by_hand();
        Ok(())
    }

    fn heading(&mut self, text: &str, level: u16, size: f32) {
        let level = NonZeroU16::new(level).unwrap_or(NonZeroU16::MIN);
        let bold = self.fonts.bold.clone();
        self.y += size * 0.5;
        let mut group = TagGroup::new(Tag::Hn(level, Some(text.to_owned())));
        self.line(&mut group, MARGIN, &bold, size, text);
        self.tree.push(group);
        self.y += size * 0.6 + 10.0;
    }

    fn paragraph(&mut self, text: &str) {
        let regular = self.fonts.regular.clone();
        let mut group = TagGroup::new(Tag::P);
        for line in wrap(text, self.width, BODY) {
            self.line(&mut group, MARGIN, &regular, BODY, &line);
            self.y += LEADING;
        }
        self.tree.push(group);
    }

    /// Room for a pen, as much as the page has left: a long place takes it first.
    fn by_hand(&mut self) {
        const HEADING: f32 = 34.0;
        const LINE: f32 = 44.0;
        let mut needed = HEADING + LINE;
        for (at, what) in BY_HAND.into_iter().enumerate() {
            if self.y + needed > self.bottom {
                return;
            }
            if at == 0 {
                self.y += 8.0;
                self.heading("To fill in by hand", 2, 13.0);
            }
            self.paragraph(what);
            self.rule();
            needed = LINE;
        }
    }

    /// A line to write on.
    fn rule(&mut self) {
        self.y += 8.0;
        let mut path = PathBuilder::new();
        if let Some(rect) = Rect::from_xywh(MARGIN, self.y, self.width, 0.6) {
            path.push_rect(rect);
        }
        self.y += LEADING + 4.0;
        self.decoration(path);
    }

    fn fact(&mut self, what: &str, value: &str) {
        let (regular, bold) = (self.fonts.regular.clone(), self.fonts.bold.clone());
        let mut group = TagGroup::new(Tag::P);
        self.line(&mut group, MARGIN, &bold, BODY, &format!("{what}: "));
        for line in wrap(value, self.width - 110.0, BODY) {
            self.line(&mut group, MARGIN + 110.0, &regular, BODY, &line);
            self.y += LEADING;
        }
        self.tree.push(group);
    }

    fn line(&mut self, group: &mut TagGroup, x: f32, font: &Font, size: f32, text: &str) {
        let id = self
            .surface
            .start_tagged(ContentTag::Span(SpanTag::empty()));
        self.surface.draw_text(
            Point::from_xy(x, self.y),
            font.clone(),
            size,
            text,
            false,
            TextDirection::Auto,
        );
        self.surface.end_tagged();
        group.push(id);
    }

    /// Draws the code right of the lines above, where it can be scanned.
    fn qr(&mut self, code: &QrCode, side: f32) {
        let modules = u16::try_from(code.width()).unwrap_or(u16::MAX);
        let cell = side / f32::from(modules);
        let (left, top) = (MARGIN + self.width - side, self.y - side - 8.0);
        let mut path = PathBuilder::new();
        let colors = code.to_colors();
        for row in 0..modules {
            for column in 0..modules {
                let at = usize::from(row) * usize::from(modules) + usize::from(column);
                if colors.get(at) == Some(&Color::Dark) {
                    let (x, y) = (left + f32::from(column) * cell, top + f32::from(row) * cell);
                    if let Some(rect) = Rect::from_xywh(x, y, cell, cell) {
                        path.push_rect(rect);
                    }
                }
            }
        }
        // The same digits stand beside it as text, so for a reader's voice it is decoration.
        self.decoration(path);
    }

    /// Draws what a reader's voice leaves out.
    fn decoration(&mut self, path: PathBuilder) {
        let Some(path) = path.finish() else {
            return;
        };
        self.surface
            .start_tagged(ContentTag::Artifact(Artifact::with_kind(
                ArtifactType::Layout,
            )));
        self.surface.draw_path(&path);
        self.surface.end_tagged();
    }

    fn finish(self) -> TagTree {
        self.surface.finish();
        self.tree
    }
}

/// Breaks at spaces, and within words that are longer than a line (paths).
fn wrap(text: &str, width: f32, size: f32) -> Vec<String> {
    // 0.6 em is wider than the mean of DejaVu Sans, so that lines stay within the paper.
    let mut fit = 8_usize;
    let mut room = 8.0 * size * 0.6;
    while room + size * 0.6 < width {
        fit += 1;
        room += size * 0.6;
    }
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let line = lines.last_mut().expect("there is always a line");
            let used = line.chars().count();
            let space = usize::from(used > 0);
            if used + space + rest.len() <= fit {
                if space == 1 {
                    line.push(' ');
                }
                line.extend(rest.drain(..));
            } else if used == 0 {
                line.extend(rest.drain(..fit));
                lines.push(String::new());
            } else {
                lines.push(String::new());
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::tests::{kit, kit_with_sign_in};

    #[test]
    fn a_page_is_drawn_for_both_papers_and_is_accessible() {
        for paper in [Paper::A4, Paper::Letter] {
            for kit in [kit(), kit_with_sign_in()] {
                let bytes = draw(&kit, paper, true).unwrap();
                assert!(bytes.starts_with(b"%PDF-"));
                assert!(bytes.len() < 200_000, "{}", bytes.len());
            }
        }
    }

    #[test]
    fn a_place_in_a_foreign_script_is_printed_all_the_same() {
        let mut kit = kit();
        kit.store = "/mnt/备份".into();
        assert!(pdf(&kit, Paper::A4).unwrap().starts_with(b"%PDF-"));
    }

    #[test]
    fn long_lines_are_broken_and_nothing_is_lost() {
        let text = format!("a {} b", "x".repeat(300));
        let lines = wrap(&text, 300.0, 10.0);
        assert!(lines.iter().all(|line| line.chars().count() <= 50));
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        assert_eq!(wrap("one two", 300.0, 10.0), ["one two"]);
    }
}
