//! Guards that cancel a token when they drop.

use crate::sync::cancellation_token::token::CancellationToken;

/// Cancels its token when it drops: made by [`CancellationToken::drop_guard`].
#[derive(Debug)]
#[must_use = "dropping it cancels the token"]
pub struct DropGuard {
    token: Option<CancellationToken>,
}

impl DropGuard {
    pub(crate) fn new(token: CancellationToken) -> DropGuard {
        DropGuard { token: Some(token) }
    }

    /// Gives the token back without cancelling it.
    ///
    /// # Examples
    /// ```
    /// let guard = wakeline_runtime::sync::CancellationToken::new().drop_guard();
    /// assert!(!guard.disarm().is_cancelled());
    /// ```
    pub fn disarm(mut self) -> CancellationToken {
        self.token.take().expect("only this, which consumes the guard, and its drop take the token")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

/// Cancels the token that it borrows when it drops: made by [`CancellationToken::drop_guard_ref`].
#[derive(Debug)]
#[must_use = "dropping it cancels the token"]
pub struct DropGuardRef<'a> {
    token: Option<&'a CancellationToken>,
}

impl<'a> DropGuardRef<'a> {
    pub(crate) fn new(token: &'a CancellationToken) -> DropGuardRef<'a> {
        DropGuardRef { token: Some(token) }
    }

    /// Gives the token back without cancelling it.
    ///
    /// # Examples
    /// ```
    /// let token = wakeline_runtime::sync::CancellationToken::new();
    /// token.drop_guard_ref().disarm();
    /// assert!(!token.is_cancelled());
    /// ```
    pub fn disarm(mut self) -> &'a CancellationToken {
        self.token.take().expect("only this, which consumes the guard, and its drop take the token")
    }
}

impl Drop for DropGuardRef<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            token.cancel();
        }
    }
}
