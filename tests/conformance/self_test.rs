//! The runner's own tests: scripts that are right, and scripts that are wrong in one place and must fail with the words
//! that say so.

use crate::runner;
use crate::settings::Version;
use libtest_mimic::{Failed, Trial};

/// A host that echoes nothing: a handshake, after which descriptor 4 is the connection.
const HANDSHAKE: &str = "
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
";

/// The forms of the language that scripts in the wild use, in a script that is right.
const FORMS: &str = r#"
// One kind of comment,
/* and another,
   over two lines. */
--tolerance_usecs=10000
--ip_version=ipv4
`../common/defaults.sh
../common/set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0`

    0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0   setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
   +0   bind(3, {sa_family = AF_INET, sin_port = htons(8888), sin_addr = inet_addr("0.0.0.0")}, ...) = 0
   +0   listen(3, 1) = 0
0.000...0.200 accept(3, ..., ...) = 4
0.100   < S 0:0(0) win 32792 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
0.1~0.2 > S. 0:0(0) ack 1 <...>
0.200   < . 1:1(0) ack 1 win 257   // inline
   +0   fcntl(4, F_GETFL) = 0x2 (flags O_RDWR)
   +0   fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
   +0   fcntl(4, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)
   +0   read(4, ..., 1000) = -1 EAGAIN (Resource temporarily unavailable)
 +.01   write(4, ..., 1000) = 1000
    *   > P. 1:1001(1000) ack 1
   +0~+.1 < [ect0] . 1:1(0) ack 1001 win 257
   +0   sendto(4, ..., 10, MSG_DONTWAIT, ..., ...) = 10
   +0   > [noecn] P. 1001:1011(10) ack 1 <...>
 +.01   < 40000 > 8888 F. 1:1(0) ack 1011 win 257
 +.04   > 8888 > 40000 . 1011:1011(0) ack 2
   +0   close(4) = 0
   +0   close(3) = 0
   +0   > F. 1011:1011(0) ack 2
 +.1    < . 2:2(0) ack 1012 win 257
"#;

/// What is wrong, the lines after the handshake, and what the runner must say about it.
const WRONG: &[(&str, &str, &[&str])] = &[
    (
        "wrong_ack",
        "+0 < P. 1:1001(1000) ack 1 win 257\n+0 > . 1:1(0) ack 1000",
        &[":10:", "differ in ack", "expected 0.100000 IP", "ack 1000", "ack 1001"],
    ),
    ("wrong_seq", "+0 write(4, ..., 100) = 100\n+0 > P. 2:102(100) ack 1", &["differ in seq", "seq 1:101"]),
    ("wrong_flags", "+0 write(4, ..., 100) = 100\n+0 > . 1:101(100) ack 1", &["differ in flags", "[P.]"]),
    ("wrong_window", "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1 win 1", &["differ in win"]),
    ("wrong_options", "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1 <nop,nop>", &["differ in options"]),
    ("wrong_protocol", "+0 write(4, ..., 100) = 100\n+0 > udp (100)", &["differ in protocol", "UDP, length 100"]),
    ("wrong_ecn", "+0 write(4, ..., 100) = 100\n+0 > [ect0] P. 1:101(100) ack 1", &["differ in ecn"]),
    ("missing_packet", "+0 > . 1:1(0) ack 1", &[":9:", "no packet has come by 0.101000", "expected 0.100000 IP"]),
    (
        "extra_packet",
        "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+.01 write(4, ..., 100) = 100\n+.5 `true`",
        &["no line expects", "length 100"],
    ),
    ("late_packet", "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+.1 > P. 1:101(100) ack 1", &["no packet"]),
    (
        "early_packet",
        "+0 write(4, ..., 100) = 100\n+.01 > P. 1:101(100) ack 1",
        &["differ in time", "expected 0.110000", "actual   0.100000"],
    ),
    ("wrong_result", "+0 write(4, ..., 100) = 99", &["write returned 100, expected 99"]),
    ("wrong_errno", "+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n+0 read(4, ..., 9) = -1 EPIPE", &["returned -1 EAGAIN"]),
    ("blocks", "+0 read(4, ..., 9) = 9", &["would block"]),
    ("blocks_too_long", "+0...0.1 read(4, ..., 9) = 9\n+.5 `true`", &[":9:", "still blocks"]),
    (
        "returns_too_early",
        "+0...0.3 read(4, ..., 9) = 9\n+.1 < P. 1:10(9) ack 1 win 257\n+0 > . 1:1(0) ack 10\n+.5 `true`",
        &[":9:", "blocked from 0.100000 to 0.200000"],
    ),
    (
        "wrong_revents",
        "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1",
        &["revents are [\"POLLOUT\"]"],
    ),
    ("closed_descriptor", "+0 read(7, ..., 9) = 9", &["EBADF"]),
    ("counter", "+0 `nstat TcpPassiveOpens=2`", &["TcpPassiveOpens is 1, expected 2"]),
    ("shell", "+0 `ip link set tun0 down`", &["not supported", "no shell"]),
    ("code", "+0 %{ assert tcpi_cwnd == 10 }%", &["%{ }% is not supported"]),
    ("unknown_call", "+0 splice(4, ...) = 0", &["splice is not supported"]),
    ("unknown_option", "+0 setsockopt(4, SOL_TCP, TCP_MD5SIG, [1], [4]) = 0", &["TCP_MD5SIG"]),
    ("half_an_option", "+0 < . 1:1(0) ack 1 win 257 <nop>", &["multiple of 4"]),
    ("late_event", "+0 < P. 1:10(9) ack 1 win 257\n* > . 1:1(0) ack 10\n0.05 read(4, ..., 9) = 9", &["it is late"]),
];

/// Texts that are no scripts: the line and column, and the words.
const MALFORMED: &[(&str, &str, &[&str])] = &[
    ("no_time", "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3", &["1:1", "expected a script"]),
    ("bad_range", "0 socket(..., SOCK_STREAM, 0) = 3\n+0 > . 1:11(9) ack 1", &["2:8", "are 10 bytes, not 9"]),
    ("ack_without_flag", "0 > S 0:0(0) ack 1", &["1:3", "go together"]),
    ("no_window", "0 < S 0:0(0)", &["1:3", "needs its win"]),
    ("any_option_sent", "0 < S 0:0(0) win 9 <...>", &["cannot be sent"]),
    ("unknown_tcp_option", "0 < S 0:0(0) win 9 <mtu 9>", &["1:21", "a TCP option"]),
    ("port_too_large", "0 < 70000 > 80 S 0:0(0) win 9", &["1:5", "70000 does not fit"]),
    ("backwards", "0.2~0.1 > S 0:0(0)", &["1:1", "before the beginning"]),
    ("open_call", "0 socket(..., SOCK_STREAM = 3", &["1:15"]),
    ("unknown_sysctl", "`sysctl -q net.ipv4.tcp_magic=1`\n0 `true`", &["there is no sysctl net.ipv4.tcp_magic"]),
    ("shell_before", "`ip link add dev x`\n0 `true`", &["1:1", "not supported"]),
    ("late_sysctl", "0 `sysctl -q net.ipv4.tcp_sack=0`", &["1:1", "before the first event"]),
    ("unknown_setting", "--tolerance=5\n0 `true`", &["1:1", "--tolerance=5 is not supported"]),
];

pub(crate) fn trials() -> Vec<Trial> {
    let wrong = WRONG.iter().map(|&(name, lines, words)| {
        Trial::test(format!("runner::{name}"), move || must_fail(&format!("{HANDSHAKE}{lines}\n"), words))
    });
    let malformed = MALFORMED
        .iter()
        .map(|&(name, text, words)| Trial::test(format!("runner::{name}"), move || must_fail(text, words)));
    let right = Trial::test("runner::right", || runner::play("right", HANDSHAKE, Version::V4).map_err(Failed::from));
    let forms = Trial::test("runner::forms", || runner::play("forms", FORMS, Version::V4).map_err(Failed::from));
    wrong.chain(malformed).chain([right, forms]).collect()
}

fn must_fail(text: &str, words: &[&str]) -> Result<(), Failed> {
    let Err(message) = runner::play("wrong", text, Version::V4) else {
        return Err("the script is wrong, and passed".into());
    };
    match words.iter().find(|words| !message.contains(**words)) {
        Some(words) => Err(format!("{words:?} is not in the message:\n{message}").into()),
        None => Ok(()),
    }
}
