//! A table as an XLSX workbook: a ZIP archive of a few XML parts, each from a template.

use std::io::{self, Write as _};

use askama::Template;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::table::{Cell, ColumnKind, Table};
use crate::counter::{Day, Language};

/// Number of 1970-01-01 among a spreadsheet's days.
const EPOCH: u32 = 25_569;
/// Longest text that a cell may have.
const TEXT_CHARS_MAX: usize = 32_767;
/// Longest heading of printed pages, behind its code for the middle. Excel repairs, or refuses, a file with a longer one.
const PRINT_HEADER_CHARS_MAX: usize = 255 - 2;
/// Widths of columns, in characters.
const WIDTH_MIN: usize = 8;
const WIDTH_MAX: usize = 80;
/// Rows by which a column's width goes.
const ROWS_MEASURED: usize = 1_000;

const CONTENT_TYPES: &str = include_str!("../../../../templates/manage/tables/content_types.xml");
const RELATIONS: &str = include_str!("../../../../templates/manage/tables/relations.xml");
const WORKBOOK_RELATIONS: &str = include_str!("../../../../templates/manage/tables/workbook_relations.xml");

#[derive(Template)]
#[template(path = "manage/tables/workbook.xml")]
struct Workbook {
    name: &'static str,
}

#[derive(Template)]
#[template(path = "manage/tables/styles.xml")]
struct Styles {
    day_format: &'static str,
}

#[derive(Template)]
#[template(path = "manage/tables/sheet.xml")]
struct Sheet {
    columns: Vec<SheetColumn>,
    rows: Vec<Vec<SheetCell>>,
    print_header: String,
}

struct SheetColumn {
    number: usize,
    width: usize,
    letter: char,
    label: &'static str,
    style: Style,
}

/// Place of a cell's format in `styles.xml`.
#[derive(Clone, Copy)]
struct Style(u8);

impl Style {
    const TEXT: Self = Self(0);
    const HEADING: Self = Self(1);
    /// A heading above numbers.
    const HEADING_RIGHT: Self = Self(2);
    const NUMBER: Self = Self(3);
    const SHARE: Self = Self(4);
    const DAY: Self = Self(5);
}

struct SheetCell {
    letter: char,
    style: u8,
    value: SheetValue,
}

enum SheetValue {
    Empty,
    Text(String),
    Number(String),
}

pub fn write(table: &Table, language: Language) -> io::Result<Vec<u8>> {
    let day_format = match language {
        Language::Vietnamese => "dd/mm/yyyy",
        Language::English => "d mmm yyyy",
    };
    // Writing to a string can't fail.
    let rendered = |part: &dyn askama::DynTemplate| part.dyn_render().unwrap_or_default();
    let mut archive = ZipArchiveWriter::new(Vec::new());
    for (path, text) in [
        ("[Content_Types].xml", CONTENT_TYPES.to_owned()),
        ("_rels/.rels", RELATIONS.to_owned()),
        ("xl/_rels/workbook.xml.rels", WORKBOOK_RELATIONS.to_owned()),
        ("xl/workbook.xml", rendered(&Workbook { name: table.name })),
        ("xl/styles.xml", rendered(&Styles { day_format })),
        ("xl/worksheets/sheet1.xml", rendered(&Sheet::of(table))),
    ] {
        let file = archive.new_file(path).compression_method(CompressionMethod::DEFLATE);
        let (mut entry, config) = file.start().map_err(io::Error::other)?;
        let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::fast()));
        writer.write_all(text.as_bytes())?;
        let (encoder, output) = writer.finish().map_err(io::Error::other)?;
        encoder.finish()?;
        entry.finish(output).map_err(io::Error::other)?;
    }
    archive.finish().map_err(io::Error::other)
}

impl Sheet {
    fn of(table: &Table) -> Self {
        let columns = table.columns.iter().enumerate().map(|(at, column)| SheetColumn {
            number: at + 1,
            width: width(table, at),
            letter: letter(at),
            label: column.label,
            style: match column.kind {
                ColumnKind::Text => Style::HEADING,
                _ => Style::HEADING_RIGHT,
            },
        });
        let cell = |(at, cell): (usize, &Cell)| {
            let (style, value) = match cell {
                Cell::Empty => (Style::TEXT, SheetValue::Empty),
                Cell::Text(text) => (Style::TEXT, SheetValue::Text(escaped(text))),
                Cell::Number(number) => (Style::NUMBER, SheetValue::Number(number.to_string())),
                Cell::Share(share) => (Style::SHARE, SheetValue::Number(format!("{share:.6}"))),
                Cell::Day(day) => (Style::DAY, SheetValue::Number(serial(*day).to_string())),
            };
            SheetCell { letter: letter(at), style: style.0, value }
        };
        Self {
            columns: columns.collect(),
            rows: table.rows.iter().map(|row| row.iter().enumerate().map(cell).collect()).collect(),
            print_header: print_header(&table.title),
        }
    }
}

/// The title as a heading of printed pages, cut to the length that one may have.
fn print_header(title: &str) -> String {
    let mut header = String::new();
    let mut length = 0;
    for c in escaped(title).chars() {
        // Codes begin with an ampersand, which is doubled to stand for itself.
        length += if c == '&' { 2 } else { c.len_utf16() };
        if length >= PRINT_HEADER_CHARS_MAX {
            header.push('…');
            break;
        }
        header.push(c);
        if c == '&' {
            header.push(c);
        }
    }
    header
}

fn letter(at: usize) -> char {
    u8::try_from(at).ok().and_then(|at| b'A'.checked_add(at)).map_or('Z', char::from)
}

fn serial(day: Day) -> u32 {
    EPOCH + day.number()
}

/// Width of a column, by its longest text.
fn width(table: &Table, at: usize) -> usize {
    let shown = |cell: &Cell| match cell {
        Cell::Empty => 0,
        Cell::Text(text) => text.chars().count(),
        // With marks between thousands.
        Cell::Number(number) => number.to_string().len() * 4 / 3,
        Cell::Share(_) => 6,
        Cell::Day(_) => 11,
    };
    let longest = table.rows.iter().take(ROWS_MEASURED).filter_map(|row| row.get(at)).map(shown).max().unwrap_or(0);
    let label = table.columns.get(at).map_or(0, |column| column.label.chars().count());
    // Bold letters are wider, and a margin is on either side.
    (longest.max(label + label / 8) + 2).clamp(WIDTH_MIN, WIDTH_MAX)
}

/// Text as a spreadsheet reads it back: without what XML can't hold, and with `_x0041_` as it stands.
fn escaped(text: &str) -> String {
    let is_allowed =
        |c: &char| !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    let text: String = text.chars().filter(is_allowed).take(TEXT_CHARS_MAX).collect();
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let code = text.as_bytes().get(at..at + 7);
        let is_code = code.is_some_and(|code| {
            code.starts_with(b"_x") && code[6] == b'_' && code[2..6].iter().all(u8::is_ascii_hexdigit)
        });
        if is_code {
            escaped.push_str("_x005F");
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use rawzip::ZipArchive;

    use super::super::table::Column;
    use super::*;

    fn table() -> Table {
        let columns =
            vec![Column::text("Trang"), Column::number("Lượt xem"), Column::share("Tỷ lệ"), Column::day("Ngày")];
        let day = |day| Cell::Day(Day::from_ymd(2026, 11, day).unwrap());
        let rows = vec![
            vec![Cell::text("Lũ <quét> & \"đêm\""), Cell::Number(1_234_567), Cell::share(1, 8), day(1)],
            vec![Cell::text("=1+1\u{1} _x0041_ "), Cell::Number(0), Cell::share(0, 8), day(30)],
            vec![Cell::text("x".repeat(40_000)), Cell::Number(-5), Cell::Empty, Cell::Empty],
        ];
        Table::new("Đọc nhiều nhất", "Đọc & xem, Tháng 11/2026".to_owned(), columns, rows)
    }

    fn part(bytes: &[u8], name: &str) -> String {
        let archive = ZipArchive::from_slice(bytes).unwrap();
        let entry =
            archive.entries().map(Result::unwrap).find(|entry| entry.file_path().as_ref() == name.as_bytes()).unwrap();
        let file = archive.get_entry(entry.wayfinder()).unwrap();
        let mut text = String::new();
        let inflated = flate2::read::DeflateDecoder::new(file.data());
        file.verifying_reader(inflated).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_workbook_has_numbers_as_numbers_dates_as_dates_and_strangers_texts_as_text() {
        let bytes = write(&table(), Language::Vietnamese).unwrap();
        let sheet = part(&bytes, "xl/worksheets/sheet1.xml");
        for expected in [
            r#"<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>"#,
            r#"<c r="A1" s="1" t="inlineStr"><is><t xml:space="preserve">Trang</t></is></c>"#,
            r#"<c r="B1" s="2" t="inlineStr"><is><t xml:space="preserve">Lượt xem</t></is></c>"#,
            r#"<c r="B2" s="3"><v>1234567</v></c><c r="C2" s="4"><v>0.125000</v></c><c r="D2" s="5"><v>46327</v></c>"#,
            "=1+1 _x005F_x0041_ </t>",
            r#"<c r="B4" s="3"><v>-5</v></c></row>"#,
            "<oddHeader>&#38;C",
            r#"<col min="1" max="1" width="80" customWidth="1"/>"#,
        ] {
            assert!(sheet.contains(expected), "{expected} in {}", sheet.chars().take(3_000).collect::<String>());
        }
        assert!(!sheet.contains("<f>") && !sheet.contains("<quét>") && !sheet.contains('\u{1}'));
        assert!(part(&bytes, "xl/styles.xml").contains("dd/mm/yyyy"));
        assert!(part(&write(&table(), Language::English).unwrap(), "xl/styles.xml").contains("d mmm yyyy"));
    }

    /// Another program's reading of archive and XML.
    #[test]
    fn python_reads_every_part_of_a_workbook() {
        let script = "import io, sys, zipfile, xml.etree.ElementTree as tree\n\
            book = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))\n\
            assert book.testzip() is None\n\
            parts = {name: tree.fromstring(book.read(name)) for name in book.namelist()}\n\
            sheet = parts['xl/worksheets/sheet1.xml']\n\
            main = '{http://schemas.openxmlformats.org/spreadsheetml/2006/main}'\n\
            rows = [[''.join(cell.itertext()) for cell in row] for row in sheet.iter(main + 'row')]\n\
            assert rows[1][0] == 'Lũ <quét> & \"đêm\"', rows[1]\n\
            assert rows[3][0] == 'x' * 32767\n\
            assert sheet.find(main + 'headerFooter/' + main + 'oddHeader').text == '&CĐọc && xem, Tháng 11/2026'\n\
            print(len(parts), len(rows), parts['xl/workbook.xml'].find(main + 'sheets')[0].get('name'))";
        let mut python = Command::new("python3")
            .args(["-X", "utf8", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(&write(&table(), Language::Vietnamese).unwrap()).unwrap();
        let said = python.wait_with_output().unwrap();
        assert!(said.status.success());
        assert_eq!(String::from_utf8(said.stdout).unwrap().trim(), "6 4 Đọc nhiều nhất");
    }

    #[test]
    fn a_printed_heading_is_no_longer_than_a_spreadsheet_takes() {
        for title in ["/dai-".repeat(900), "&".repeat(300), "😀".repeat(300)] {
            let header = print_header(&title);
            let length = header.encode_utf16().count();
            assert!((245..=PRINT_HEADER_CHARS_MAX).contains(&length) && header.ends_with('…'), "{length} {header}");
            assert_eq!(header.matches('&').count() % 2, 0, "{header}");
        }
        assert_eq!(print_header("Đọc & xem"), "Đọc && xem");
    }

    #[test]
    fn columns_are_as_wide_as_their_texts() {
        let table = table();
        assert_eq!([0, 1, 2, 3].map(|at| width(&table, at)), [80, 11, 8, 13]);
    }
}
