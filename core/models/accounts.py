"""Customers, customer users, groups and staff. None of them is ever deleted."""

from datetime import date, datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.models.base import Base, now, word
from core.words import Permission, Role, Validity


class Group(Base):
    """What permissions are given through (handbook: *Kundengruppen*)."""

    __tablename__ = "groups"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    comment: Mapped[str] = mapped_column(default="")
    valid: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class Customer(Base):
    """A firm or person, known by its Kunden#."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    street: Mapped[str] = mapped_column(String(200), default="")
    postcode: Mapped[str] = mapped_column(String(20), default="")
    city: Mapped[str] = mapped_column(String(100), default="")
    country: Mapped[str] = mapped_column(String(100), default="")
    url: Mapped[str] = mapped_column(String(300), default="")
    comment: Mapped[str] = mapped_column(default="")
    valid: Mapped[bool] = mapped_column(default=True)
    source: Mapped[str | None] = mapped_column(String(50))  # that names it; None: kept here
    search_text: Mapped[str] = mapped_column(default="")
    sort_key: Mapped[str] = mapped_column(String(200), default="")  # folded, as lists are sorted
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
    version: Mapped[int] = mapped_column(default=1)

    domains: Mapped[list["CustomerDomain"]] = relationship(
        back_populates="customer", cascade="all, delete-orphan", order_by="CustomerDomain.domain"
    )
    permissions: Mapped[list["CustomerGroup"]] = relationship(
        back_populates="customer", cascade="all, delete-orphan"
    )

    __table_args__ = (Index("ix_customers_sort_key", "sort_key", "id"),)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class CustomerDomain(Base):
    """A mail domain that an admin has confirmed to be a customer's, as lower-case A-label."""

    __tablename__ = "customer_domains"

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), primary_key=True)
    domain: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)

    customer: Mapped[Customer] = relationship(back_populates="domains")


class CustomerUser(Base):
    """An account of a customer (handbook: *Kunden Benutzer*)."""

    __tablename__ = "customer_users"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(200))
    login_key: Mapped[str] = mapped_column(String(200), unique=True)  # folded: no two look alike
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    title: Mapped[str] = mapped_column(String(50), default="")
    first_name: Mapped[str] = mapped_column(String(100))
    last_name: Mapped[str] = mapped_column(String(100))
    phone: Mapped[str] = mapped_column(String(50), default="")
    mobile: Mapped[str] = mapped_column(String(50), default="")
    street: Mapped[str] = mapped_column(String(200), default="")
    postcode: Mapped[str] = mapped_column(String(20), default="")
    city: Mapped[str] = mapped_column(String(100), default="")
    country: Mapped[str] = mapped_column(String(100), default="")
    comment: Mapped[str] = mapped_column(default="")
    password_hash: Mapped[str | None]
    valid: Mapped[Validity] = mapped_column(word(Validity), default=Validity.VALID)
    invalid_until: Mapped[date | None]  # last day of invalid-temporarily; None: until changed
    invalid_reason: Mapped[str] = mapped_column(default="")
    sees_customer_tickets: Mapped[bool] = mapped_column(default=False)  # of all with its Kunden#
    language: Mapped[str] = mapped_column(String(8), default="")  # "" follows the browser
    theme: Mapped[str] = mapped_column(String(8), default="auto")
    time_zone: Mapped[str] = mapped_column(String(64), default="")  # "" is the server's setting
    tickets_per_page: Mapped[int] = mapped_column(default=25)
    notices: Mapped[bool] = mapped_column(default=True)
    source: Mapped[str | None] = mapped_column(String(50))  # whose record it copies; None: none
    source_key: Mapped[str | None] = mapped_column(String(200))  # of the record in the source
    source_seen_at: Mapped[datetime | None]  # when the source last gave the record, to the day
    source_gone_at: Mapped[datetime | None]  # since when the source has it no more
    search_text: Mapped[str] = mapped_column(default="")
    sort_key: Mapped[str] = mapped_column(String(200), default="")  # folded, as lists are sorted
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
    version: Mapped[int] = mapped_column(default=1)

    customer: Mapped[Customer] = relationship()
    addresses: Mapped[list["CustomerUserAddress"]] = relationship(
        back_populates="customer_user",
        cascade="all, delete-orphan",
        order_by="CustomerUserAddress.position",
    )
    permissions: Mapped[list["CustomerUserGroup"]] = relationship(
        back_populates="customer_user", cascade="all, delete-orphan"
    )

    __table_args__ = (
        Index("ix_customer_users_sort_key", "sort_key", "id"),
        Index("uq_customer_users_source", "source", "source_key", unique=True),
    )
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy

    @property
    def name(self) -> str:
        """First and last name, as shown to people."""
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def email(self) -> str:
        """The main mail address: the first one."""
        return self.addresses[0].address


class CustomerUserAddress(Base):
    """A mail address of a customer user; position 0 is the main one.

    ``exclusive`` rows are unique by key. An address is not exclusive when its account is invalid
    (it may be given to a successor) or when it was knowingly shared between accounts; then mail
    from it is ambiguous until a Kunden# agrees.
    """

    __tablename__ = "customer_user_addresses"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_user_id: Mapped[int] = mapped_column(ForeignKey("customer_users.id"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    address: Mapped[str] = mapped_column(String(320))
    address_key: Mapped[str] = mapped_column(String(320), index=True)
    shared: Mapped[bool] = mapped_column(default=False)
    exclusive: Mapped[bool] = mapped_column(default=True)

    customer_user: Mapped[CustomerUser] = relationship(back_populates="addresses")

    __table_args__ = (
        UniqueConstraint("customer_user_id", "address_key"),
        Index(
            "uq_customer_user_addresses_exclusive",
            "address_key",
            unique=True,
            sqlite_where=text("exclusive"),
            postgresql_where=text("exclusive"),
        ),
    )


class CustomerUserGroup(Base):
    """A permission of a customer user in a group, given directly."""

    __tablename__ = "customer_user_groups"

    customer_user_id: Mapped[int] = mapped_column(ForeignKey("customer_users.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id"), primary_key=True, index=True)
    permission: Mapped[Permission] = mapped_column(word(Permission))

    customer_user: Mapped[CustomerUser] = relationship(back_populates="permissions")
    group: Mapped[Group] = relationship()


class CustomerGroup(Base):
    """A permission in a group that every customer user of a customer inherits."""

    __tablename__ = "customer_groups"

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id"), primary_key=True, index=True)
    permission: Mapped[Permission] = mapped_column(word(Permission))

    customer: Mapped[Customer] = relationship(back_populates="permissions")
    group: Mapped[Group] = relationship()


class Staff(Base):
    """Somebody who works here: an agent or an admin."""

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(200))
    login_key: Mapped[str] = mapped_column(String(200), unique=True)
    email: Mapped[str] = mapped_column(String(320))
    first_name: Mapped[str] = mapped_column(String(100), default="")
    last_name: Mapped[str] = mapped_column(String(100), default="")
    role: Mapped[Role] = mapped_column(word(Role))
    password_hash: Mapped[str | None]
    must_change_password: Mapped[bool] = mapped_column(default=False)
    valid: Mapped[bool] = mapped_column(default=True)
    language: Mapped[str] = mapped_column(String(8), default="")
    theme: Mapped[str] = mapped_column(String(8), default="auto")
    time_zone: Mapped[str] = mapped_column(String(64), default="")
    tickets_per_page: Mapped[int] = mapped_column(default=25)
    digest: Mapped[bool] = mapped_column(default=True)  # of held mail, once a day
    digest_on: Mapped[date | None]  # day of the last one
    directory_key: Mapped[str | None] = mapped_column(String(200))  # of the entry; None: kept here
    directory_seen_at: Mapped[datetime | None]  # when the directory last gave the entry
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
    version: Mapped[int] = mapped_column(default=1)

    permissions: Mapped[list["StaffGroup"]] = relationship(
        back_populates="staff", cascade="all, delete-orphan"
    )

    __table_args__ = (Index("uq_staff_directory_key", "directory_key", unique=True),)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy

    @property
    def name(self) -> str:
        """First and last name, or the login where neither is known."""
        return f"{self.first_name} {self.last_name}".strip() or self.login


class StaffGroup(Base):
    """A group whose queues a member of staff works."""

    __tablename__ = "staff_groups"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id"), primary_key=True, index=True)
    permission: Mapped[Permission] = mapped_column(word(Permission))

    staff: Mapped[Staff] = relationship(back_populates="permissions")
    group: Mapped[Group] = relationship()
