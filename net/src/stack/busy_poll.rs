//! How the readers of one socket poll its device busily: what programs set, of which the stack itself makes no use.

use crate::sockopt::{Opt, Value};
use crate::stack::error::SocketError;
use std::time::Duration;

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BusyPoll {
    /// SO_BUSY_POLL (`sk_ll_usec`): for how long a reader looks before it sleeps; 0: not at all.
    pub(crate) usecs: u32,
    /// SO_BUSY_POLL_BUDGET: how many packets one look takes.
    pub(crate) budget: u16,
    /// SO_PREFER_BUSY_POLL: the softirq is to leave the polling to readers.
    pub(crate) prefer: bool,
}

/// `BUSY_POLL_BUDGET`
pub(crate) const BUSY_POLL_BUDGET: u16 = 8;

impl BusyPoll {
    /// That of a new socket, where `net.core.busy_read` is `usecs`.
    pub(crate) const fn new(usecs: u32) -> BusyPoll {
        BusyPoll { usecs, budget: BUSY_POLL_BUDGET, prefer: false }
    }

    /// For how long a reader looks.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_micros(self.usecs.into())
    }

    /// `sock_setsockopt`, by the owner of the host.
    ///
    /// # Errors
    /// `InvalidInput` for a value out of range, `OptionUnknown`.
    pub(crate) fn set(&mut self, opt: Opt, value: Value) -> Result<(), SocketError> {
        let limited =
            |n: u128, most: u32| u32::try_from(n).ok().filter(|&n| n <= most).ok_or(SocketError::InvalidInput);
        match (opt, value) {
            (Opt::BusyPoll, Value::Time(time)) => {
                self.usecs = limited(time.unwrap_or_default().as_micros(), i32::MAX as u32)?;
            }
            (Opt::BusyPollBudget, Value::Number(n)) => self.budget = limited(n.into(), u16::MAX.into())? as u16,
            (Opt::PreferBusyPoll, Value::Flag(on)) => self.prefer = on,
            _ => return Err(SocketError::OptionUnknown),
        }
        Ok(())
    }

    /// `sock_getsockopt`
    ///
    /// # Errors
    /// `OptionUnknown`.
    pub(crate) fn get(&self, opt: Opt) -> Result<Value, SocketError> {
        Ok(match opt {
            Opt::BusyPoll => Value::Time((self.usecs > 0).then(|| self.time())),
            Opt::PreferBusyPoll => Value::Flag(self.prefer),
            _ => return Err(SocketError::OptionUnknown),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_as_linux_checks_them() {
        let check = |opt, value, expected| {
            let mut busy = BusyPoll::new(0);
            let set = busy.set(opt, value);
            assert_eq!(set.and_then(|()| busy.get(opt)), expected, "{opt:?} {value:?}");
        };
        let (refused, unknown) = (Err(SocketError::InvalidInput), Err(SocketError::OptionUnknown));
        let micros = |n| Value::Time(Some(Duration::from_micros(n)));
        check(Opt::BusyPoll, micros(50), Ok(micros(50)));
        check(Opt::BusyPoll, micros(0), Ok(Value::Time(None)));
        check(Opt::BusyPoll, Value::Time(None), Ok(Value::Time(None)));
        check(Opt::BusyPoll, micros(1 << 31), refused);
        check(Opt::BusyPoll, Value::Number(1), unknown);
        // Who asks for the budget is told that there is no such option, in Linux as well.
        check(Opt::BusyPollBudget, Value::Number(65_535), unknown);
        check(Opt::BusyPollBudget, Value::Number(65_536), refused);
        check(Opt::PreferBusyPoll, Value::Flag(true), Ok(Value::Flag(true)));
        check(Opt::NoDelay, Value::Flag(true), unknown);
    }
}
