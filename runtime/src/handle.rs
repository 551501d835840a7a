//! Stand-in.
use crate::driver::DriverHandle;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Stand-in.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Shared>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(crate) struct Shared {
    pub(crate) driver: DriverHandle,
    pub(crate) ready: Mutex<VecDeque<Arc<Task>>>,
}

pub(crate) struct Task {
    future: Mutex<Option<Job>>,
    queued: std::sync::atomic::AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, std::sync::atomic::Ordering::AcqRel) {
            let shared = self.shared.clone();
            shared.ready.lock().unwrap().push_back(self);
            shared.driver.unpark();
        }
    }
}

impl Task {
    pub(crate) fn run(self: Arc<Self>) {
        self.queued.store(false, std::sync::atomic::Ordering::Release);
        let waker = Waker::from(self.clone());
        let mut slot = self.future.lock().unwrap();
        if let Some(f) = slot.as_mut()
            && f.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *slot = None;
        }
    }
}

/// Stand-in.
#[derive(Debug)]
pub struct EnterGuard(Option<Handle>);
impl Drop for EnterGuard {
    fn drop(&mut self) {
        crate::context::set(self.0.take());
    }
}

/// Stand-in.
#[derive(Debug)]
pub struct JoinHandle<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);
/// Stand-in.
#[derive(Debug)]
pub struct JoinError;
impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut s = self.0.lock().unwrap();
        if let Some(v) = s.0.take() {
            return Poll::Ready(Ok(v));
        }
        s.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Handle {
    pub(crate) fn driver(&self) -> &DriverHandle {
        &self.0.driver
    }
    /// Stand-in.
    pub fn enter(&self) -> EnterGuard {
        EnterGuard(crate::context::set(Some(self.clone())))
    }
    /// Stand-in.
    #[track_caller]
    pub fn current() -> Handle {
        crate::context::current()
    }
    /// Stand-in.
    pub fn spawn<F>(&self, f: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let out = Arc::new(Mutex::new((None, None::<Waker>)));
        let o = out.clone();
        let job = Box::pin(async move {
            let v = f.await;
            let w = {
                let mut s = o.lock().unwrap();
                s.0 = Some(v);
                s.1.take()
            };
            if let Some(w) = w {
                w.wake();
            }
        });
        let task = Arc::new(Task {
            future: Mutex::new(Some(job)),
            queued: std::sync::atomic::AtomicBool::new(false),
            shared: self.0.clone(),
        });
        task.wake();
        JoinHandle(out)
    }
}
