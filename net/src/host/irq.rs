//! An interrupt of a host, for its user: who handles it, where it goes, how often it came.

use crate::host::handle::Host;
use crate::host::irq_desc::{IrqDesc, IrqReturn, Spurious};
use crate::host::machine::Machine;
use crate::irq::line::IrqLine;
use std::io;
use std::sync::Arc;

/// One of a host's interrupt lines, by its number in `/proc/interrupts`.
#[derive(Clone, Debug)]
pub struct Irq {
    machine: Arc<Machine>,
    index: usize,
}

/// A handler on a line, until it is dropped (`free_irq`).
#[derive(Debug)]
#[must_use = "the handler is taken off its line when this drops"]
pub struct IrqAction {
    irq: Irq,
    id: u32,
}

impl Host {
    /// The line with this number: the device's begin at 24, one for each queue.
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) when there is none.
    pub fn irq(&self, number: u32) -> io::Result<Irq> {
        let machine = self.machine().clone();
        let index = (0..machine.nic.queue_count()).find(|&index| machine.nic.line(index).number() == number);
        let index = index.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        Ok(Irq { machine, index })
    }
}

impl Irq {
    fn desc(&self) -> &IrqDesc {
        &self.machine.irqs[self.index]
    }

    fn line(&self) -> &IrqLine {
        self.machine.nic.line(self.index)
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.line().number()
    }

    /// How often it came, by CPU.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.desc().counts().collect()
    }

    /// Puts a further handler on the line (`request_irq` with `IRQF_SHARED`). Every handler is called for every interrupt, with
    /// interrupts off: it must not wait for anything, and says whether the interrupt was its device's.
    ///
    /// # Errors
    /// `EBUSY` (`ResourceBusy`) for a line that is not shared: an MSI-X vector is not, the one line of
    /// [`NicModel::E1000`](crate::emulated::NicModel::E1000) is.
    pub fn request(
        &self,
        name: &str,
        handler: impl Fn() -> IrqReturn + Send + Sync + 'static,
    ) -> io::Result<IrqAction> {
        let id = self.desc().request(name, Box::new(handler), None)?;
        Ok(IrqAction { irq: self.clone(), id })
    }

    /// The same with a thread (`request_threaded_irq` with `IRQF_ONESHOT`), which runs when the handler says
    /// [`IrqReturn::WakeThread`]. The line stays masked until it has finished.
    ///
    /// # Errors
    /// As [`request`](Irq::request).
    pub fn request_threaded(
        &self,
        name: &str,
        handler: impl Fn() -> IrqReturn + Send + Sync + 'static,
        thread: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<IrqAction> {
        let id = self.desc().request(name, Box::new(handler), Some(Box::new(thread)))?;
        Ok(IrqAction { irq: self.clone(), id })
    }

    /// No handler is called until [`enable`](Irq::enable) (`disable_irq_nosync`). Nests. What comes meanwhile is remembered once.
    pub fn disable(&self) {
        self.desc().disable(self.line());
    }

    /// Undoes one [`disable`](Irq::disable), or what was done to a spurious line.
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) for a line that is not disabled.
    pub fn enable(&self) -> io::Result<()> {
        self.desc().enable(self.line())
    }

    /// The CPU that it interrupts (`effective_affinity_list`).
    #[must_use]
    pub fn affinity(&self) -> usize {
        self.line().cpu()
    }

    /// Lets it interrupt the lowest of the CPUs in `mask` (`smp_affinity`). A connection's state stays where it is: only the CPU
    /// changes that works on its packets.
    ///
    /// # Errors
    /// `EINVAL` (`InvalidInput`) for a mask with no CPU of the host.
    pub fn set_affinity(&self, mask: u64) -> io::Result<()> {
        let cpu = mask.trailing_zeros() as usize;
        if cpu >= self.machine.cpu_count() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.machine.steering.bend();
        self.line().set_cpu(cpu);
        Ok(())
    }

    /// Another device on the line holds it up: it interrupts until [`lower`](Irq::lower).
    pub fn raise(&self) {
        self.line().set_foreign(true);
    }

    /// That device lets it down, as its handler has to make it.
    pub fn lower(&self) {
        self.line().set_foreign(false);
    }

    /// `/proc/irq/N/spurious`.
    #[must_use]
    pub fn spurious(&self) -> Spurious {
        self.desc().spurious()
    }
}

impl IrqAction {
    /// The line.
    #[must_use]
    pub fn irq(&self) -> &Irq {
        &self.irq
    }
}

impl Drop for IrqAction {
    fn drop(&mut self) {
        self.irq.desc().free(self.id);
    }
}
