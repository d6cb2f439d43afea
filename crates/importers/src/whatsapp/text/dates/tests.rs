use super::*;
use crate::whatsapp::text::header::Header;

fn decide_with(dates: &[&str], said: Option<DateOrder>) -> Decision {
    let lines: Vec<String> = dates
        .iter()
        .map(|date| format!("{date}, 10:00 - a: m"))
        .collect();
    let headers: Vec<Header<'_>> = lines
        .iter()
        .map(|line| Header::parse(line).expect(line))
        .collect();
    let mut evidence = Evidence::new(&headers[0]);
    for header in &headers {
        evidence.add(header, true);
    }
    evidence.decide(said)
}

fn decide(dates: &[&str]) -> Decision {
    decide_with(dates, None)
}

#[test]
fn a_number_beyond_twelve_decides() {
    assert_eq!(
        decide(&["01/02/19", "13/02/19"]),
        Decision::Order(Order::Dmy)
    );
    assert_eq!(
        decide(&["01/02/19", "01/13/19"]),
        Decision::Order(Order::Mdy)
    );
    assert_eq!(decide(&["06/2018/13"]), Decision::Order(Order::Myd));
    assert_eq!(decide(&["2018/01/02"]), Decision::Order(Order::Ymd));
    assert_eq!(decide(&["31/12/99"]), Decision::Order(Order::Dmy));
}

#[test]
fn else_the_order_of_lines_decides() {
    assert_eq!(
        decide(&["05/04/22", "03/05/22", "04/06/22"]),
        Decision::Order(Order::Dmy)
    );
    assert_eq!(
        decide(&["04/05/22", "05/03/22", "06/04/22"]),
        Decision::Order(Order::Mdy)
    );
}

#[test]
fn a_year_of_two_digits_can_come_first() {
    let dates = [
        "18/6/11", "18/6/12", "18/6/30", "18/7/1", "18/8/3", "19/1/2",
    ];
    assert_eq!(decide(&dates), Decision::Order(Order::Ymd));
    assert_eq!(decide(&["65/1/2", "65/3/4"]), Decision::Order(Order::Ymd));
    // One month only: a year later in every line, or a day later? Never guessed.
    assert_eq!(
        decide(&["18/6/11", "18/6/12", "18/6/13"]),
        Decision::Ambiguous
    );
    assert_eq!(
        decide_with(
            &["18/6/11", "18/6/12", "18/6/13"],
            Some(DateOrder::YearFirst)
        ),
        Decision::Order(Order::Ymd)
    );
}

#[test]
fn what_nothing_decides_is_asked_and_never_guessed() {
    assert_eq!(decide(&["03/04/22", "05/06/22"]), Decision::Ambiguous);
    assert_eq!(decide(&["03/04/2022"]), Decision::Ambiguous);
    assert_eq!(
        decide_with(&["03/04/22"], Some(DateOrder::MonthFirst)),
        Decision::Order(Order::Mdy)
    );
    assert_eq!(
        decide_with(&["03/04/22"], Some(DateOrder::DayFirst)),
        Decision::Order(Order::Dmy)
    );
}

#[test]
fn the_date_in_a_mediums_name_decides() {
    let decide = |line: &str| {
        let header = Header::parse(line).expect(line);
        let mut evidence = Evidence::new(&header);
        evidence.add(&header, true);
        evidence.decide(None)
    };
    for (name, want) in [
        (
            "IMG-20220403-WA0002.jpg (file attached)",
            Decision::Order(Order::Dmy),
        ),
        (
            "IMG-20220304-WA0002.jpg (file attached)",
            Decision::Order(Order::Mdy),
        ),
        (
            "<attached: 00000035-PHOTO-2022-04-03-21-41-55.jpg>",
            Decision::Order(Order::Dmy),
        ),
        (
            "IMG-20220909-WA0002.jpg (file attached)",
            Decision::Ambiguous,
        ),
        ("IMG-2022x403-WA0002.jpg", Decision::Ambiguous),
        ("é-WA", Decision::Ambiguous),
        ("-PHOTO-2022-4", Decision::Ambiguous),
    ] {
        assert_eq!(
            decide(&format!("03/04/22, 10:00 - a: {name}")),
            want,
            "{name}"
        );
    }
}

#[test]
fn what_the_file_shows_comes_before_what_is_said() {
    assert_eq!(
        decide_with(&["13/02/19"], Some(DateOrder::MonthFirst)),
        Decision::Order(Order::Dmy)
    );
}

#[test]
fn days_that_equal_their_months_leave_nothing_open() {
    assert_eq!(
        decide(&["03/03/22", "04/04/22"]),
        Decision::Order(Order::Dmy)
    );
}

#[test]
fn a_calendar_that_nobody_knows_is_refused() {
    assert_eq!(decide(&["1397/01/02", "1397/03/04"]), Decision::Impossible);
    assert_eq!(decide(&["45/46/47"]), Decision::Impossible);
}

#[test]
fn a_pasted_line_does_not_turn_the_order() {
    let mut dates = vec!["01/13/19"; 100];
    dates.push("31/12/18");
    assert_eq!(decide(&dates), Decision::Order(Order::Mdy));
}

#[test]
fn days_are_counted_as_the_calendar_counts_them() {
    assert_eq!(day_number(1970, 1, 1), Some(0));
    assert_eq!(day_number(2000, 2, 29), Some(11_016));
    assert_eq!(day_number(2018, 6, 13), Some(17_695));
    assert_eq!(day_number(2099, 12, 31), Some(47_481));
    assert_eq!(day_number(2100, 2, 29), None);
    assert_eq!(day_number(2019, 2, 29), None);
    assert_eq!(day_number(2019, 4, 31), None);
    assert_eq!(day_number(2019, 0, 1), None);
    assert_eq!(day_number(2019, 1, 0), None);
}
