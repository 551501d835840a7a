//! The counters of `nstat`, by Linux's names.

use std::fmt;

macro_rules! mibs {
    ($($name:ident,)*) => {
        /// One of Linux's SNMP counters, by the name that `nstat` prints.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the names are the documentation, and Linux's")]
        pub enum Mib { $($name,)* }

        impl Mib {
            /// Every counter, in the order in which they are held.
            pub const ALL: &'static [Mib] = &[$(Mib::$name,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Mib::$name => stringify!($name),)* }
            }
        }
    };
}

mibs! {
    IpInReceives, IpInHdrErrors, IpInAddrErrors, IpInUnknownProtos, IpInDiscards, IpInDelivers, IpOutRequests,
    IpOutDiscards, IpOutNoRoutes, IpReasmTimeout, IpReasmReqds, IpReasmOKs, IpReasmFails, IpFragOKs, IpFragFails, IpFragCreates,
    IpForwDatagrams, IpExtReasmOverlaps, IpExtInTruncatedPkts, IpExtInCsumErrors,
    IcmpInMsgs, IcmpInErrors, IcmpInCsumErrors, IcmpInDestUnreachs, IcmpInTimeExcds, IcmpInParmProbs,
    IcmpInSrcQuenchs, IcmpInRedirects, IcmpInEchos, IcmpInEchoReps,
    IcmpOutMsgs, IcmpOutDestUnreachs, IcmpOutTimeExcds, IcmpOutParmProbs, IcmpOutRateLimitHost,
    IcmpOutEchoReps, IcmpOutRateLimitGlobal,
    Ip6InReceives, Ip6InHdrErrors, Ip6InAddrErrors, Ip6InUnknownProtos, Ip6InTruncatedPkts, Ip6InDiscards,
    Ip6InDelivers, Ip6OutRequests, Ip6OutDiscards, Ip6OutNoRoutes, Ip6InTooBigErrors, Ip6ReasmTimeout,
    Ip6ReasmReqds, Ip6ReasmOKs, Ip6ReasmFails, Ip6ReasmOverlaps, Ip6FragOKs, Ip6FragFails, Ip6FragCreates,
    Ip6OutForwDatagrams,
    Icmp6InMsgs, Icmp6InErrors, Icmp6InCsumErrors, Icmp6InDestUnreachs, Icmp6InPktTooBigs, Icmp6InTimeExcds,
    Icmp6InParmProblems, Icmp6InEchos, Icmp6InEchoReplies, Icmp6OutMsgs, Icmp6OutDestUnreachs, Icmp6OutPktTooBigs,
    Icmp6OutTimeExcds, Icmp6OutParmProblems, Icmp6OutEchoReplies, Icmp6OutRateLimitHost,
    TcpActiveOpens, TcpPassiveOpens, TcpAttemptFails, TcpEstabResets, TcpInSegs, TcpOutSegs, TcpRetransSegs,
    TcpInErrs, TcpOutRsts, TcpInCsumErrors,
    TcpExtSyncookiesSent, TcpExtSyncookiesRecv, TcpExtSyncookiesFailed, TcpExtEmbryonicRsts,
    TcpExtListenOverflows, TcpExtListenDrops, TcpExtTCPReqQFullDoCookies, TcpExtTCPReqQFullDrop,
    TcpExtTCPDeferAcceptDrop, TcpExtTCPSynRetrans, TcpExtTCPTimeouts,
    TcpExtTCPFastRetrans, TcpExtTCPSlowStartRetrans, TcpExtTCPOFOQueue, TcpExtTCPOFODrop, TcpExtTCPOFOMerge,
    TcpExtTCPRcvCoalesce, TcpExtTCPRcvQDrop, TcpExtTCPZeroWindowDrop, TcpExtTCPBacklogDrop,
    TcpExtTCPChallengeACK, TcpExtTCPSYNChallenge, TcpExtTCPACKSkippedChallenge, TcpExtTCPACKSkippedSeq,
    TcpExtTCPACKSkippedFinWait2, TcpExtTCPACKSkippedTimeWait,
    TcpExtTCPAbortOnClose, TcpExtTCPAbortOnData, TcpExtTCPAbortOnTimeout, TcpExtTCPAbortOnMemory,
    TcpExtTCPTimeWaitOverflow, TcpExtTW, TcpExtTWRecycled, TcpExtOutOfWindowIcmps, TcpExtDelayedACKs,
    TcpExtTCPPureAcks, TcpExtTCPHPHits, TcpExtTCPHPAcks, TcpExtTCPWinProbe, TcpExtTCPToZeroWindowAdv,
    TcpExtTCPFromZeroWindowAdv,
    TcpExtTCPSackRecovery, TcpExtTCPRenoRecovery, TcpExtTCPSACKReneging, TcpExtTCPSACKReorder, TcpExtTCPLostRetransmit,
    TcpExtTCPFullUndo, TcpExtTCPPartialUndo, TcpExtTCPDSACKUndo, TcpExtTCPLossUndo, TcpExtTCPSpuriousRTOs,
    TcpExtTCPLossProbes, TcpExtTCPLossProbeRecovery, TcpExtTCPSACKDiscard, TcpExtTCPDSACKOldSent,
    TcpExtTCPDSACKOfoSent, TcpExtTCPDSACKRecv, TcpExtTCPDSACKOfoRecv, TcpExtTCPDSACKIgnoredOld,
    TcpExtTCPDSACKIgnoredNoUndo, TcpExtTCPDSACKIgnoredDubious,
    TcpExtTCPKeepAlive,
    TcpExtPAWSActive, TcpExtPAWSEstab, TcpExtPAWSOldAck, TcpExtTCPACKSkippedPAWS,
    UdpInDatagrams, UdpNoPorts, UdpInErrors, UdpOutDatagrams, UdpRcvbufErrors, UdpSndbufErrors, UdpInCsumErrors,
    UdpIgnoredMulti, Udp6IgnoredMulti,     Udp6InDatagrams, Udp6NoPorts, Udp6InErrors, Udp6OutDatagrams, Udp6RcvbufErrors, Udp6SndbufErrors,
    Udp6InCsumErrors,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters([u64; Mib::ALL.len()]);

impl Counters {
    /// Nothing counted yet.
    pub const fn new() -> Counters {
        Counters([0; Mib::ALL.len()])
    }

    /// Counts one.
    #[inline]
    pub fn count(&mut self, mib: Mib) {
        self.0[mib as usize] += 1;
    }

    /// Counts `n`.
    #[inline]
    pub(crate) fn count_many(&mut self, mib: Mib, n: u64) {
        self.0[mib as usize] += n;
    }

    /// What has been counted.
    pub const fn get(&self, mib: Mib) -> u64 {
        self.0[mib as usize]
    }

    /// The counters that are not zero.
    pub fn iter(&self) -> impl Iterator<Item = (Mib, u64)> + '_ {
        Mib::ALL.iter().map(|&mib| (mib, self.get(mib))).filter(|&(_, n)| n > 0)
    }

    /// Adds another table to this one.
    pub fn add(&mut self, other: &Counters) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// The tables of `/proc/net/snmp`, `/proc/net/netstat` and `/proc/net/snmp6`, in whose text tools like `nstat` look for
/// them: a line of names and a line of values for each table, and for IPv6 a line for each counter.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in TABLES {
            let of_table = || Mib::ALL.iter().filter(|mib| table_of(mib.name()) == *table);
            if table.ends_with('6') {
                of_table().try_for_each(|&mib| writeln!(f, "{:<32}\t{}", mib.name(), self.get(mib)))?;
                continue;
            }
            write!(f, "{table}:")?;
            of_table().try_for_each(|mib| write!(f, " {}", &mib.name()[table.len()..]))?;
            write!(f, "\n{table}:")?;
            of_table().try_for_each(|&mib| write!(f, " {}", self.get(mib)))?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// The tables, in the order in which the files come.
const TABLES: &[&str] = &["Ip", "Icmp", "Tcp", "Udp", "TcpExt", "IpExt", "Ip6", "Icmp6", "Udp6"];

/// The table of a counter: the longest of their names that its own begins with.
fn table_of(name: &str) -> &'static str {
    TABLES.iter().copied().filter(|table| name.starts_with(table)).max_by_key(|table| table.len()).unwrap_or_default()
}

impl Default for Counters {
    fn default() -> Self {
        Counters::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_under_the_names_of_nstat() {
        let mut all = Counters::new();
        let mut one = Counters::new();
        one.count(Mib::TcpExtListenOverflows);
        all.add(&one);
        all.add(&one);
        let shown: Vec<_> = all.iter().map(|(mib, n)| (mib.name(), n)).collect();
        assert_eq!(shown, [("TcpExtListenOverflows", 2)]);
    }

    #[test]
    fn they_print_as_the_files_that_nstat_reads() {
        let mut counters = Counters::new();
        counters.count(Mib::TcpActiveOpens);
        counters.count(Mib::TcpExtListenDrops);
        counters.count(Mib::Ip6InReceives);
        let text = counters.to_string();
        // As `nstat` reads them: two lines for each table, which have as many words.
        let mut read = Vec::new();
        let lines: Vec<_> = text.lines().collect();
        for pair in lines.windows(2) {
            let (names, values) = (pair[0].split(' '), pair[1].split(' '));
            let Some((table, _)) = pair[0].split_once(':') else { continue };
            if pair[1].starts_with(table) {
                read.extend(
                    names.zip(values).skip(1).filter(|(_, v)| *v != "0").map(|(n, v)| format!("{table}{n} {v}")),
                );
            }
        }
        assert_eq!(read, ["TcpActiveOpens 1", "TcpExtListenDrops 1"]);
        assert!(text.contains("Ip6InReceives                   \t1\n"), "{text}");
        assert!(Mib::ALL.iter().all(|mib| !table_of(mib.name()).is_empty()));
    }
}
