//! TCP_DEFER_ACCEPT counts retransmissions of the SYN-ACK, programs count seconds.

/// `TCP_TIMEOUT_INIT` and `TCP_RTO_MAX`, in seconds.
const FIRST: u16 = 1;
const LONGEST: u16 = 120;

/// How many retransmissions it takes until `seconds` have passed (`secs_to_retrans`).
pub(crate) fn retransmissions_in(seconds: u16) -> u8 {
    let (mut count, mut period, mut timeout) = (0, 0_u16, FIRST);
    while seconds > period && count < u8::MAX {
        count += 1;
        period = period.saturating_add(timeout);
        timeout = (timeout * 2).min(LONGEST);
    }
    count
}

/// After how many seconds the last of so many is over (`retrans_to_secs`).
pub(crate) fn time_of_retransmissions(count: u8) -> u16 {
    let (mut period, mut timeout) = (0_u16, FIRST);
    for _ in 0..count {
        period = period.saturating_add(timeout);
        timeout = (timeout * 2).min(LONGEST);
    }
    period
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_to_the_next_retransmission() {
        for (seconds, count, back) in
            [(0, 0, 0), (1, 1, 1), (2, 2, 3), (3, 2, 3), (4, 3, 7), (30, 5, 31), (200, 8, 247)]
        {
            assert_eq!((retransmissions_in(seconds), time_of_retransmissions(count)), (count, back), "{seconds}");
        }
        assert_eq!(retransmissions_in(u16::MAX), u8::MAX);
    }
}
