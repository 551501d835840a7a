//! Requests and answers of RESP2.

/// A request's words.
pub(crate) type Request<'a> = Vec<&'a [u8]>;

const WORDS_MAX: usize = 1024;
const WORD_BYTES_MAX: usize = 16 << 20;
/// Of a request that is not all there yet.
pub(crate) const REQUEST_BYTES_MAX: usize = WORD_BYTES_MAX + LINE_BYTES_MAX;
/// Of a line that says a length, or of a request that is a line.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;

/// The first request in `input` and how many bytes it takes; `None` when it is not all there.
///
/// # Errors
/// What the client is told before it is left.
pub(crate) fn request(input: &[u8]) -> Result<Option<(Request<'_>, usize)>, &'static str> {
    let Some((line, mut at)) = line(input)? else { return Ok(None) };
    let Some(count) = line.strip_prefix(b"*") else {
        // As typed into a terminal.
        return Ok(Some((line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect(), at)));
    };
    let count = number(count).filter(|&n| n <= WORDS_MAX).ok_or("Protocol error: invalid multibulk length")?;
    let mut words = Vec::new();
    for _ in 0..count {
        let Some((head, len)) = self::line(&input[at..])? else { return Ok(None) };
        at += len;
        let size = head.strip_prefix(b"$").ok_or("Protocol error: expected '$'")?;
        let size = number(size).filter(|&n| n <= WORD_BYTES_MAX).ok_or("Protocol error: invalid bulk length")?;
        let Some(word) = input.get(at..at + size + 2) else { return Ok(None) };
        words.push(word.strip_suffix(b"\r\n").ok_or("Protocol error: a bulk string ends with CRLF")?);
        at += size + 2;
    }
    Ok(Some((words, at)))
}

/// The first line without its end, and how many bytes it takes.
fn line(input: &[u8]) -> Result<Option<(&[u8], usize)>, &'static str> {
    let within = &input[..input.len().min(LINE_BYTES_MAX)];
    match within.iter().position(|&byte| byte == b'\n') {
        Some(end) => Ok(Some((within[..end].strip_suffix(b"\r").unwrap_or(&within[..end]), end + 1))),
        None if input.len() < LINE_BYTES_MAX => Ok(None),
        None => Err("Protocol error: too big inline request"),
    }
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(crate) fn simple(output: &mut Vec<u8>, text: &str) {
    output.extend_from_slice(format!("+{text}\r\n").as_bytes());
}

pub(crate) fn error(output: &mut Vec<u8>, text: &str) {
    output.extend_from_slice(format!("-ERR {text}\r\n").as_bytes());
}

pub(crate) fn out_of_memory(output: &mut Vec<u8>) {
    output.extend_from_slice(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n");
}

pub(crate) fn integer(output: &mut Vec<u8>, n: i64) {
    output.extend_from_slice(format!(":{n}\r\n").as_bytes());
}

pub(crate) fn bulk(output: &mut Vec<u8>, word: Option<&[u8]>) {
    let Some(word) = word else { return output.extend_from_slice(b"$-1\r\n") };
    output.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
    output.extend_from_slice(word);
    output.extend_from_slice(b"\r\n");
}

pub(crate) fn empty_array(output: &mut Vec<u8>) {
    output.extend_from_slice(b"*0\r\n");
}
