"""Who a viewer is, and what one may do: everything that is not allowed here is refused."""

from __future__ import annotations

import json
import time
import uuid
from inspect import isawaitable
from typing import Any

from jupyter_server.auth import Authorizer, IdentityProvider, User
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.login import LoginFormHandler
from tornado import web

from workbench.dashboards.access import Access
from workbench.server.bounded import is_known
from workbench.server.viewer_pages import Pages

__all__ = ["LogIn", "ViewerAuthorizer", "ViewerIdentity"]

_TRIES, _WITHIN = 10, 60.0


class ViewerAuthorizer(Authorizer):
    """Dashboards may be read; a kernel may be reached by the viewer whose page it serves."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        if resource == "dashboards":
            return action == "read"
        if resource == "kernels" and action in ("read", "execute"):
            return bool(handler.kernel_manager.is_of(handler.path_kwargs.get("kernel_id", ""), user.username))
        return False


class ViewerIdentity(IdentityProvider):
    """A viewer is a cookie that the log-in form has set, and that is good as long as the secret is the same. A token in
    an address or a header is never looked at."""

    @property
    def access(self) -> Access:
        app: Any = self.parent
        found: Access = app.access
        return found

    async def get_user(self, handler: web.RequestHandler) -> User | None:
        found: Any = super().get_user(handler)
        user: User | None = await found if isawaitable(found) else found
        if user is not None:
            is_known(handler.request)
        return user

    async def get_user_token(self, handler: web.RequestHandler) -> User | None:
        return None

    def process_login_form(self, handler: web.RequestHandler) -> User | None:
        if not self.access.fits(handler.get_body_argument("password", default="", strip=False)):
            return None
        return User(username=uuid.uuid4().hex, name="viewer", display_name="viewer")

    def user_to_cookie(self, user: User) -> str:
        return json.dumps({"viewer": user.username, "mark": self.access.mark()})

    def user_from_cookie(self, cookie_value: str) -> User | None:
        kept = json.loads(cookie_value)
        if kept.get("mark") != self.access.mark():
            return None
        return User(username=kept["viewer"], name="viewer", display_name="viewer")


class LogIn(Pages, LoginFormHandler):
    """The form. After ten wrong passwords within a minute nobody gets in for the rest of it; a token, which cannot be
    guessed, lets in whoever has it."""

    _wrong: list[float] = []  # noqa: RUF012 (of the process: whoever guesses changes addresses)

    def _render(self, message: Any = None) -> None:
        problem = message.get("error") if isinstance(message, dict) else None
        after = self.get_argument("next", default=self.base_url)
        self.show(
            "login.html", problem=problem, next=after, action=f"{self.base_url}login", xsrf=self.xsrf_token.decode()
        )

    @allow_unauthenticated
    def post(self) -> None:
        now = time.monotonic()
        self._wrong[:] = [at for at in self._wrong if now - at < _WITHIN]
        provider: Any = self.identity_provider
        if len(self._wrong) >= _TRIES and provider.access.guessable:
            self.set_status(429)
            self._render({"error": "Too many wrong passwords: wait a minute."})
            return
        user = self.identity_provider.process_login_form(self)
        if user is None:
            self._wrong.append(now)
            self.set_status(401)
            self._render({"error": "That is not the password, or the link is an old one: ask for the new one."})
            return
        self.current_user = user
        self.identity_provider.set_login_cookie(self, user)
        redirect: Any = self._redirect_safe
        redirect(self.get_body_argument("next", default=self.base_url))
