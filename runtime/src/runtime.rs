//! Stand-in.
use crate::clock::{Clock, VirtualClock};
use crate::driver::{self, Driver, DriverConfig};
use crate::handle::{Handle, Shared};
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Stand-in.
#[derive(Debug)]
pub struct Runtime(Handle, Mutex<Driver>);
/// Stand-in.
#[derive(Debug)]
pub struct Builder {
    io: bool,
    time: bool,
    clock: Clock,
}

#[allow(missing_docs)]
impl Builder {
    pub fn new_current_thread() -> Builder {
        Builder { io: false, time: false, clock: Clock::Real }
    }
    pub fn enable_all(&mut self) -> &mut Self {
        self.io = true;
        self.time = true;
        self
    }
    pub fn enable_io(&mut self) -> &mut Self {
        self.io = true;
        self
    }
    pub fn enable_time(&mut self) -> &mut Self {
        self.time = true;
        self
    }
    pub fn virtual_clock(&mut self, clock: VirtualClock) -> &mut Self {
        self.clock = Clock::Virtual(clock);
        self
    }
    pub fn build(&mut self) -> io::Result<Runtime> {
        let (d, h) =
            driver::new(DriverConfig { io: self.io, time: self.time, clock: self.clock.clone(), timer_shards: 2 })?;
        Ok(Runtime(Handle(Arc::new(Shared { driver: h, ready: Mutex::default() })), Mutex::new(d)))
    }
}

struct Main(Handle, std::sync::atomic::AtomicBool);
impl std::task::Wake for Main {
    fn wake(self: Arc<Self>) {
        self.1.store(true, std::sync::atomic::Ordering::Release);
        self.0.driver().unpark();
    }
}

#[allow(missing_docs)]
impl Runtime {
    pub fn handle(&self) -> &Handle {
        &self.0
    }
    pub fn enter(&self) -> crate::handle::EnterGuard {
        self.0.enter()
    }
    pub fn block_on<F: Future>(&self, f: F) -> F::Output {
        let _g = self.0.enter();
        let main = Arc::new(Main(self.0.clone(), std::sync::atomic::AtomicBool::new(true)));
        let waker = Waker::from(main.clone());
        let mut driver = self.1.lock().unwrap_or_else(|e| e.into_inner());
        let mut f = std::pin::pin!(f);
        let shared = &self.0.0;
        loop {
            if main.1.swap(false, std::sync::atomic::Ordering::AcqRel)
                && let Poll::Ready(v) = f.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return v;
            }
            for _ in 0..64 {
                let Some(t) = shared.ready.lock().unwrap().pop_front() else { break };
                t.run();
            }
            let idle = shared.ready.lock().unwrap().is_empty() && !main.1.load(std::sync::atomic::Ordering::Acquire);
            if idle {
                driver.park(&shared.driver, None);
            } else {
                driver.turn(&shared.driver);
            }
        }
    }
}
impl Drop for Runtime {
    fn drop(&mut self) {
        let shared = &self.0.0;
        self.1.get_mut().unwrap_or_else(|e| e.into_inner()).shutdown(&shared.driver);
        shared.ready.lock().unwrap_or_else(|e| e.into_inner()).clear();
    }
}
/// Stand-in.
#[track_caller]
pub fn spawn<F>(f: F) -> crate::handle::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    crate::context::current().spawn(f)
}
