use super::*;
use crate::whatsapp::text::lines::Lines;
use crate::whatsapp::text::survey::Survey;

/// Reads one header line after a first one of the same form that leaves no date open.
fn time(line: &str) -> Option<String> {
    let header = Header::parse(line)?;
    let survey = Survey::of(
        Lines::new(line.as_bytes()),
        Some(crate::whatsapp::text::DateOrder::DayFirst),
    )
    .ok()?;
    let seconds = survey.time(&header).ok()? / 1000;
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(time.to_string().trim_end_matches('Z').to_owned())
}

#[test]
fn every_form_of_header_gives_its_time() {
    let at = "2018-06-13T21:25:00";
    let exact = "2018-06-13T21:25:15";
    for (line, want) in [
        ("13/06/2018, 21:25 - a: m", at),
        ("13/6/18 21:25 - a: m", at),
        ("6/13/18, 9:25 PM - a: m", at),
        ("6/13/18, 9:25\u{202F}PM - a: m", at),
        ("6/13/18, 9:25\u{A0}p.\u{A0}m. - a: m", at),
        ("13/6/18 9:25 p. m. - a: m", at),
        ("13.06.18, 21:25 - a: m", at),
        ("13-06-2018 21:25 - a: m", at),
        ("2018-06-13 21:25 - a: m", at),
        ("2018/06/13, 21:25 - a: m", at),
        ("2018. 6. 13. 오후 9:25 - a: m", at),
        ("2018. 06. 13. 21:25 - a: m", at),
        ("2018年6月13日 下午9:25 - a: m", at),
        ("2018/6/13 下午9:25 - a: m", at),
        ("2018/6/13 晚上9:25 - a: m", at),
        ("2018년 6월 13일 오후 9:25 - a: m", at),
        ("13. 6. 2018 21:25 - a: m", at),
        ("13. 6. 2018. 21:25:15 a: m", exact),
        ("13.06.18 21.25.15: a: m", exact),
        ("13.6.2018 klo 21.25 - a: m", at),
        ("13.6.2018 klo 21.25.15 - a: m", exact),
        ("13.06.18 г., 21:25 ч. - a: m", at),
        ("21:25, 13/6/2018 - a: m", at),
        ("[21:25:15 13/6/2018] a: m", exact),
        ("9:25 CH, 13/6/2018 - a: m", at),
        ("13/6/2561 BE 21:25 - a: m", at),
        ("13/6/2561 21:25 - a: m", at),
        ("[13/6/2561 BE, 21:25:15] a: m", exact),
        ("13/6/61 พ.ศ. 21:25 น. - a: m", at),
        ("H30/6/13 21:25 - a: m", at),
        ("平成30/6/13 午後9:25 - a: m", at),
        ("民國107/6/13 下午9:25 - a: m", at),
        ("\u{200F}١٣\u{200F}/٦\u{200F}/٢٠١٨، ٩:٢٥ م - a: m", at),
        ("[\u{200F}13\u{200F}/6\u{200F}/2018، 9:25:15 م] a: m", exact),
        ("۱۳/۶/۲۰۱۸،\u{200F} ۲۱:۲۵ - a: m", at),
        ("१३/६/१८, ९:२५ अपराह्न - a: m", at),
        ("[13/06/2018, 21:25:15] a: m", exact),
        ("\u{200E}[13/06/2018, 21:25:15] a: m", exact),
        ("[6/13/18, 9:25:15\u{202F}PM] a: m", exact),
        ("[13.06.18, 21:25:15] a: m", exact),
        ("[13/6/18 9:25:15 p. m.] a: m", exact),
        ("[2018/6/13 午後9:25:15] a: m", exact),
        ("13.6.2018 ÖS 9:25 - a: m", at),
        ("2018-06-13 21 h 25 - a: m", at),
        ("13/06/2018 à 21:25 - a: m", at),
        ("13/06/2018 às 21:25 - a: m", at),
        ("13.06.2018 21:25 Uhr - a: m", at),
        ("13/6/18 9:25 μ.μ. - a: m", at),
        ("13.6.18 9:25 odp. - a: m", at),
        ("13/06/18, 21:25 – a: m", at),
    ] {
        assert_eq!(time(line).as_deref(), Some(want), "{line}");
        assert_eq!(Header::parse(line).unwrap().rest, "a: m", "{line}");
    }
}

#[test]
fn japanese_years_begin_with_their_era() {
    assert_eq!(
        time("R4/6/13 21:25 - a: m").as_deref(),
        Some("2022-06-13T21:25:00")
    );
    assert_eq!(
        time("[R4/06/13 21:25:15] a: m").as_deref(),
        Some("2022-06-13T21:25:15")
    );
}

#[test]
fn noon_and_midnight_have_their_hours() {
    for (line, hour) in [
        ("13/6/18, 12:00 AM - a: m", "T00:00"),
        ("13/6/18, 12:00 PM - a: m", "T12:00"),
        ("13/6/18, 0:08 a. m. - a: m", "T00:08"),
        ("13/6/18, 1:00 PM - a: m", "T13:00"),
        ("2018/6/13 中午12:30 - a: m", "T12:30"),
        ("2018/6/13 凌晨12:30 - a: m", "T00:30"),
    ] {
        assert!(time(line).unwrap().contains(hour), "{line}");
    }
}

#[test]
fn ordinary_lines_are_no_headers() {
    for line in [
        "",
        "hello",
        "12/5 we meet",
        "12/5/22 we meet",
        "at 21:25 - ok",
        "21:25 - ok",
        "12/5/22, 21:25",
        "1. first thing - done",
        "1.2.3.4 - a: m",
        "192.168.1.1:8080 - up",
        "[sic] a: m",
        "[1] a: m",
        "[13/06, 21:25] Bob: copied by hand",
        "2018: a year - a: m",
        "12/13/14/15, 21:25 - a: m",
        "13/6/18, 25:99 - a: m",
        "123456789/1/1, 10:00 - a: m",
        "13/6/18, 21:25 -a: m",
        "\u{200E}",
        "R2-D2 12:00 - a: m",
        "[",
        "[]",
    ] {
        assert_eq!(Header::parse(line), None, "{line}");
    }
}

#[test]
fn a_time_before_a_sentence_is_doubtful() {
    assert!(Header::parse("12/5/22 21:25 we meet").unwrap().doubtful);
    assert!(!Header::parse("12/5/22 21:25 we: meet").unwrap().doubtful);
    assert!(!Header::parse("12/5/22 21:25 - we meet").unwrap().doubtful);
}

#[test]
fn lines_that_only_look_like_headers_are_told_from_text() {
    for line in [
        "32/13/2022, 13:31:00:00 - Name: text",
        "[13 Jun 2018, 21:25] a: m",
        "13 juin 2018 à 21:25 - a: m",
        "13/6/18, 25:99 - a: m",
        "[2018~06~13 21:25:15] a: m",
    ] {
        assert_eq!(Header::parse(line), None, "{line}");
        assert!(looks_like_header(line), "{line}");
    }
    for line in [
        "12/5 we meet",
        "12/5/22 we meet - ok",
        "[13/06, 21:25] Bob: copied",
        "12/5/22, 21:25",
        "1 2 3 4 5",
        "[1, 2, 3, 4, 5]",
        "[1, 2, 3, 4, 5] is a list",
        "call 555-123-4567 - now",
        "5 of 6 for 7 at 8 with 9 and 10 - x",
    ] {
        assert!(!looks_like_header(line), "{line}");
    }
}

#[test]
fn a_first_line_of_an_emoji_or_a_long_word_is_no_header() {
    for line in [
        "😀 13/6/18",
        "1/1/18, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 10:00 - a: m",
    ] {
        assert_eq!(Header::parse(line), None, "{line}");
    }
}
