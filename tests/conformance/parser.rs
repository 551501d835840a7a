//! From a script's text to its [`model`](crate::model). The language is in `packetdrill.pest`; this file only builds.
//!
//! A pair that the grammar has accepted has the children that its rule says, which is why this file takes them as it does.

use crate::model::{
    Action, Body, Call, Direction, Echoed, Ecn, Event, Expr, Flags, Fragment, Icmp, IpInfo, Packet, Position, Script,
    ScriptOption, Segment, TcpOption, When,
};
use pest::Parser;
use pest::error::{Error, ErrorVariant};
use pest::iterators::Pair;
use std::net::IpAddr;
use std::time::Duration;

#[derive(pest_derive::Parser)]
#[grammar = "tests/conformance/packetdrill.pest"]
struct Grammar;

type Parsed<T> = Result<T, Box<Error<Rule>>>;

/// Reads a script.
///
/// # Errors
/// What is wrong, with the line, the column and the text around it.
pub(crate) fn parse(text: &str) -> Result<Script, String> {
    read(text).map_err(|error| error.renamed_rules(name_of).to_string())
}

fn read(text: &str) -> Parsed<Script> {
    let script = Grammar::parse(Rule::script, text)?.next().expect("one script");
    let mut read = Script { options: Vec::new(), preparation: None, events: Vec::new() };
    for pair in script.into_inner() {
        match pair.as_rule() {
            Rule::option => read.options.push(option(pair)),
            Rule::command => read.preparation = Some((position(&pair), inner_text(pair))),
            Rule::event => read.events.push(event(pair)?),
            _ => {}
        }
    }
    Ok(read)
}

/// How a rule is called in "expected .."
fn name_of(rule: &Rule) -> String {
    let name = match rule {
        Rule::EOI => "the end",
        Rule::script => "a script: options, then events that begin with their time",
        Rule::flags => "flags such as S. or P.",
        Rule::range => "seq:seq(len)",
        Rule::seconds => "a time in seconds",
        Rule::any_time | Rule::moment | Rule::time => "a time",
        Rule::event => "an event, which begins with its time",
        Rule::option => "an option such as --tolerance_usecs=1000",
        Rule::call => "a system call",
        Rule::command => "a `command`",
        Rule::direction => "< or >",
        Rule::tcp_option => "a TCP option",
        Rule::ip_info => "[ect0]",
        Rule::result => "the call's result",
        Rule::errno => "an error such as EAGAIN",
        other => return format!("{other:?}"),
    };
    name.into()
}

fn fault<T>(pair: &Pair<'_, Rule>, message: impl Into<String>) -> Parsed<T> {
    Err(Box::new(Error::new_from_span(ErrorVariant::CustomError { message: message.into() }, pair.as_span())))
}

fn position(pair: &Pair<'_, Rule>) -> Position {
    let (line, column) = pair.line_col();
    Position { line, column }
}

fn option(pair: Pair<'_, Rule>) -> ScriptOption {
    let at = position(&pair);
    let mut parts = pair.into_inner().map(|part| part.as_str().to_owned());
    ScriptOption { at, name: parts.next().unwrap_or_default(), value: parts.next().unwrap_or_default() }
}

fn event(pair: Pair<'_, Rule>) -> Parsed<Event> {
    let at = position(&pair);
    let mut parts = pair.into_inner();
    let when = when(parts.next().expect("a time"))?;
    let action = parts.next().expect("an action");
    let blocking = matches!(when, When::Blocking { .. });
    if blocking && action.as_rule() != Rule::call {
        return fault(
            &action,
            "only a system call can go on from one time...to another; a packet's range is written 0~1",
        );
    }
    let action = match action.as_rule() {
        Rule::packet => Action::Packet(packet(action)?),
        Rule::call => Action::Call(call(action)?),
        Rule::command => Action::Command(inner_text(action)),
        _ => Action::Code,
    };
    Ok(Event { at, when, action })
}

fn when(pair: Pair<'_, Rule>) -> Parsed<When> {
    let whole = pair.clone();
    let mut parts = pair.into_inner();
    let first = parts.next().expect("a moment");
    if first.as_rule() == Rule::any_time {
        return Ok(When::Any);
    }
    let (relative, from) = moment(first)?;
    let Some(end) = parts.next() else { return Ok(When::At { relative, from, to: None }) };
    let blocking = end.as_rule() == Rule::blocking;
    let (_, to) = moment(end)?;
    if to < from {
        return fault(&whole, "the end lies before the beginning");
    }
    Ok(if blocking { When::Blocking { relative, from, to } } else { When::At { relative, from, to: Some(to) } })
}

fn moment(pair: Pair<'_, Rule>) -> Parsed<(bool, Duration)> {
    let mut relative = false;
    let mut time = Duration::ZERO;
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::plus => relative = true,
            _ => {
                let seconds: f64 = part.as_str().parse().expect("the grammar takes numbers only");
                if seconds > 1e6 {
                    return fault(&part, "a script lasts at most a million seconds");
                }
                time = Duration::from_nanos((seconds * 1e9).round() as u64);
            }
        }
    }
    Ok((relative, time))
}

fn packet(pair: Pair<'_, Rule>) -> Parsed<Packet> {
    let whole = pair.clone();
    let (mut direction, mut ip, mut ports) = (Direction::In, IpInfo::default(), None);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::direction if part.as_str() == ">" => direction = Direction::Out,
            Rule::direction => {}
            Rule::ip_info => ip = ip_info(part)?,
            rule => {
                let mut parts = part.into_inner().peekable();
                if let Some(named) = parts.next_if(|part| part.as_rule() == Rule::ports) {
                    let mut numbers = named.into_inner();
                    ports = Some((fit(numbers.next())?, fit(numbers.next())?));
                }
                let parts: Vec<_> = parts.collect();
                let body = match rule {
                    Rule::udp => Body::Udp { len: fit(parts.into_iter().next())? },
                    Rule::icmp => Body::Icmp(icmp(parts)?),
                    _ => Body::Tcp(segment(parts, direction, &whole)?),
                };
                return Ok(Packet { direction, ip, ports, body });
            }
        }
    }
    fault(&whole, "a packet without content")
}

fn ip_info(pair: Pair<'_, Rule>) -> Parsed<IpInfo> {
    let mut info = IpInfo::default();
    for item in pair.into_inner().flat_map(Pair::into_inner) {
        let text = item.as_str();
        match item.as_rule() {
            Rule::ecn => {
                info.ecn = Some(match text {
                    "noecn" => Ecn::NotEct,
                    "ect0" => Ecn::Ect0,
                    "ect1" => Ecn::Ect1,
                    "ect01" => Ecn::Ect01,
                    _ => Ecn::Ce,
                });
            }
            Rule::tos => info.tos = Some(fit(item.into_inner().next())?),
            Rule::ttl => info.ttl = Some(fit(item.into_inner().next())?),
            Rule::df => info.dont_fragment = Some(text == "df"),
            Rule::frag => info.fragment = Some(fragment(item)?),
            Rule::bad_sum => info.bad_sum = true,
            Rule::from => info.src = Some(address(item)?),
            Rule::towards => info.dst = Some(address(item)?),
            Rule::ip_options => info.options = hex(&item.clone(), item.into_inner().next())?,
            _ => return fault(&item, "flow labels are not supported"),
        }
    }
    Ok(info)
}

fn address(pair: Pair<'_, Rule>) -> Parsed<IpAddr> {
    let address = pair.into_inner().next().expect("an address");
    address.as_str().parse().or_else(|_| fault(&address, "this is no IP address"))
}

/// `frag 0:1480 mf id 7`: from where to where in the packet's content.
fn fragment(pair: Pair<'_, Rule>) -> Parsed<Fragment> {
    let whole = pair.clone();
    let mut numbers = Vec::new();
    let mut more = false;
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::more_fragments => more = true,
            _ => numbers.push(fit::<u32>(Some(part))?),
        }
    }
    let [from, to] = [numbers[0], numbers[1]].map(|n| u16::try_from(n).unwrap_or(u16::MAX));
    if to < from {
        return fault(&whole, "the fragment ends before it begins");
    }
    Ok(Fragment { offset: from, len: to - from, more, id: numbers.get(2).copied().unwrap_or(1) })
}

fn segment(parts: Vec<Pair<'_, Rule>>, direction: Direction, whole: &Pair<'_, Rule>) -> Parsed<Segment> {
    let mut segment =
        Segment { flags: Flags(0), seq: 0, len: 0, ack: None, window: None, urgent: None, options: Some(Vec::new()) };
    for part in parts {
        match part.as_rule() {
            Rule::flags => segment.flags = flags(part.as_str()),
            Rule::range => (segment.seq, segment.len) = range(part)?,
            Rule::ack => segment.ack = Some(fit(part.into_inner().next())?),
            Rule::win => segment.window = Some(fit(part.into_inner().next())?),
            Rule::urg => segment.urgent = Some(fit(part.into_inner().next())?),
            _ => segment.options = tcp_options(part)?,
        }
    }
    if segment.flags.has(Flags::ACK) != segment.ack.is_some() {
        return fault(whole, "the flag . and the field ack go together");
    }
    if direction == Direction::In {
        if segment.options.is_none() {
            return fault(whole, "<...> cannot be sent: it says no option");
        }
        if segment.window.is_none() && !segment.flags.has(Flags::RST) {
            return fault(whole, "a segment that is sent needs its win");
        }
    }
    Ok(segment)
}

fn flags(text: &str) -> Flags {
    let bit = |letter: char| Flags::LETTERS.iter().find(|(_, ours, _)| *ours == letter).map_or(0, |(flag, ..)| flag.0);
    Flags(text.chars().fold(0, |bits, letter| bits | bit(letter)))
}

/// `seq:end(len)`
fn range(pair: Pair<'_, Rule>) -> Parsed<(u32, u32)> {
    let whole = pair.clone();
    let mut numbers = pair.into_inner();
    let (from, to, len): (u32, u32, u32) = (fit(numbers.next())?, fit(numbers.next())?, fit(numbers.next())?);
    if to.wrapping_sub(from) != len {
        return fault(&whole, format!("{from}:{to} are {} bytes, not {len}", to.wrapping_sub(from)));
    }
    Ok((from, len))
}

/// `None` for `<...>`.
fn tcp_options(pair: Pair<'_, Rule>) -> Parsed<Option<Vec<TcpOption>>> {
    let mut options = Vec::new();
    for part in pair.into_inner() {
        if part.as_rule() == Rule::ellipsis {
            return Ok(None);
        }
        let option = part.into_inner().next().expect("one kind of option");
        let whole = option.clone();
        options.push(match option.as_rule() {
            Rule::mss => TcpOption::Mss(fit(option.into_inner().next())?),
            Rule::wscale => TcpOption::WindowScale(fit(option.into_inner().next())?),
            Rule::sack_ok => TcpOption::SackPermitted,
            Rule::sack => TcpOption::Sack(option.into_inner().map(block).collect::<Parsed<_>>()?),
            Rule::timestamps => {
                let mut numbers = option.into_inner();
                TcpOption::Timestamps { val: fit(numbers.next())?, ecr: fit(numbers.next())? }
            }
            Rule::nop => TcpOption::Nop,
            Rule::eol => TcpOption::End,
            Rule::fast_open => {
                let cookie = hex(&whole, option.into_inner().next())?;
                // RFC 7413 4.1.1; the experimental form is RFC 6994's with the magic 0xf989.
                let head: &[u8] = if whole.as_str().starts_with("FOEXP") { &[254, 4, 0xf9, 0x89] } else { &[34, 2] };
                let mut bytes = head.to_vec();
                bytes[1] += u8::try_from(cookie.len()).unwrap_or(u8::MAX);
                bytes.extend(cookie);
                TcpOption::Raw(bytes)
            }
            _ => TcpOption::Raw(hex(&whole, option.into_inner().next())?),
        });
    }
    Ok(Some(options))
}

fn block(pair: Pair<'_, Rule>) -> Parsed<(u32, u32)> {
    let mut numbers = pair.into_inner();
    Ok((fit(numbers.next())?, fit(numbers.next())?))
}

fn hex(whole: &Pair<'_, Rule>, digits: Option<Pair<'_, Rule>>) -> Parsed<Vec<u8>> {
    let digits = digits.map_or("", |digits| digits.as_str());
    if !digits.len().is_multiple_of(2) {
        return fault(whole, "hexadecimal bytes have two digits each");
    }
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("the grammar takes hexadecimal only");
    Ok((0..digits.len()).step_by(2).map(byte).collect())
}

fn icmp(parts: Vec<Pair<'_, Rule>>) -> Parsed<Icmp> {
    let mut icmp = Icmp { kind: String::new(), code: None, mtu: None, echoed: None };
    for part in parts {
        match part.as_rule() {
            Rule::echoed => {
                let packet = part.into_inner().next().expect("a range or a datagram");
                icmp.echoed = Some(if packet.as_rule() == Rule::range {
                    let (seq, len) = range(packet)?;
                    Echoed::Tcp { seq, len }
                } else {
                    Echoed::Udp { len: fit(packet.into_inner().next())? }
                });
            }
            Rule::icmp_type => icmp.kind = part.as_str().into(),
            Rule::icmp_code => icmp.code = Some(part.as_str().into()),
            _ => icmp.mtu = Some(fit(Some(part))?),
        }
    }
    Ok(icmp)
}

fn call(pair: Pair<'_, Rule>) -> Parsed<Call> {
    let mut call = Call { name: String::new(), args: Vec::new(), result: 0, errno: None };
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::ident => call.name = part.as_str().into(),
            Rule::expression => call.args.push(expression(part)?),
            Rule::result => call.result = integer(&part)?,
            Rule::errno => call.errno = Some(part.as_str().into()),
            _ => {}
        }
    }
    Ok(call)
}

fn expression(pair: Pair<'_, Rule>) -> Parsed<Expr> {
    let mut terms: Vec<Expr> = pair.into_inner().map(term).collect::<Parsed<_>>()?;
    Ok(if terms.len() == 1 { terms.remove(0) } else { Expr::Or(terms) })
}

fn term(pair: Pair<'_, Rule>) -> Parsed<Expr> {
    let pair = pair.into_inner().next().expect("one kind of term");
    Ok(match pair.as_rule() {
        Rule::ellipsis => Expr::Ellipsis,
        Rule::number => Expr::Number(integer(&pair)?),
        Rule::ident => Expr::Name(pair.as_str().into()),
        Rule::string => Expr::Text(inner_text(pair)),
        Rule::array => Expr::Array(pair.into_inner().map(expression).collect::<Parsed<_>>()?),
        Rule::structure => Expr::Struct(pair.into_inner().map(field).collect::<Parsed<_>>()?),
        _ => {
            let mut parts = pair.into_inner();
            let name = parts.next().expect("a function's name").as_str().into();
            Expr::Function(name, parts.map(expression).collect::<Parsed<_>>()?)
        }
    })
}

fn field(pair: Pair<'_, Rule>) -> Parsed<(String, Expr)> {
    let mut name = String::new();
    let mut value = Expr::Ellipsis;
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::ident => name = part.as_str().into(),
            _ => value = expression(part)?,
        }
    }
    Ok((name, value))
}

fn inner_text(pair: Pair<'_, Rule>) -> String {
    pair.into_inner().next().map_or_else(String::new, |text| text.as_str().into())
}

fn integer(pair: &Pair<'_, Rule>) -> Parsed<i64> {
    let text = pair.as_str();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    match value {
        Ok(value) => Ok(if negative { -value } else { value }),
        Err(_) => fault(pair, "the number is too large"),
    }
}

/// A number that has to fit its field.
fn fit<T: TryFrom<i64>>(pair: Option<Pair<'_, Rule>>) -> Parsed<T> {
    let pair = pair.expect("the grammar has a number here");
    let value = integer(&pair)?;
    match T::try_from(value) {
        Ok(value) => Ok(value),
        Err(_) => fault(&pair, format!("{value} does not fit its field")),
    }
}
