"""Routing rules: their order, what each does, and the form of one."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from core.i18n import gettext as _
from core.intake.again import Comparison, with_rule
from core.models import RoutingRule
from core.routing.conditions import OPERATORS
from core.routing.rule import RuleValues
from core.routing.rules import (
    KIND,
    all_rules,
    check_values,
    delete_rule,
    move_rule,
    rule_values,
    save_rule,
)
from portal.admin.comparing import compared, is_trial
from portal.admin.rule_form import CHECK, DO, RuleForm, edited
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.history import history_page
from portal.parameters import id_of_request, text_of_request
from portal.rule_words import actions_in_words, conditions_in_words
from portal.visitors import organisation, the_viewer

area = Area("admin_rules", __name__, Audience.ADMIN, "/admin/rules")


@area.get("")
def index() -> str:
    """List the rules in the order in which they are asked."""
    queues = {queue.id: queue.name for queue in organisation().queues.values()}
    rows = [
        (row, conditions_in_words(values.conditions), actions_in_words(values.actions, queues))
        for row in all_rules(reading())
        for values in (rule_values(row),)
    ]
    return render_template(
        "admin/rules.html",
        rows=rows,
        moved=id_of_request("moved"),
        way=text_of_request("way"),
    )


@area.route("/new", methods=["GET", "POST"])
def new() -> Response:
    """Show the form of a new rule, and create it."""
    form = _form(None)
    if form.is_submitted() and _is_to_be_saved(form):
        done = form.attempt(_create, form)
        if done is not None:
            return done
    return _answer(form, None)


@area.route("/<int:object_id>", methods=["GET", "POST"])
def edit(object_id: int) -> Response:
    """Show a rule, and change it."""
    rule = stored(reading(), RoutingRule, object_id)
    form = _form(rule)
    if not form.is_submitted():
        form.read_now(reading(), KIND, rule)
    elif _is_to_be_saved(form):
        done = form.attempt(_change, form, object_id)
        if done is not None:
            return done
        if form.is_stale:
            form.show_others(KIND, RoutingRule, object_id, rule_values, form.values())
    return _answer(form, stored(reading(), RoutingRule, object_id))


@area.get("/<int:object_id>/history")
def history(object_id: int) -> str:
    """Show what was changed of a rule."""
    rule = stored(reading(), RoutingRule, object_id)
    return history_page("admin/rule_history.html", KIND, object_id, routing_rule=rule)


@area.post("/<int:object_id>/move")
def move(object_id: int) -> Response:
    """Put a rule at another position, and lead back to its button."""
    session = writing()
    before = stored(session, RoutingRule, object_id).position
    position = request.form.get("position", before, type=int)
    move_rule(session, the_viewer().actor, object_id, position)
    rule = stored(session, RoutingRule, object_id)
    flash(_('"%(name)s" is now at position %(position)d.', name=rule.name, position=rule.position))
    way = "up" if position < before else "down"
    return redirect(url_for(".index", moved=object_id, way=way), 303)


@area.route("/<int:object_id>/delete", methods=["GET", "POST"])
def delete(object_id: int) -> str | Response:
    """Ask whether a rule is to be deleted, and delete it."""
    rule = stored(reading(), RoutingRule, object_id)
    if request.method == "POST":
        delete_rule(writing(), the_viewer().actor, object_id)
        flash(_('The rule "%(name)s" is deleted.', name=rule.name))
        return redirect(url_for(".index"), 303)
    return render_template(
        "admin/rule_delete.html",
        routing_rule=rule,
        action=url_for(".delete", object_id=object_id),
        confirm=_("Delete rule"),
        cancel=url_for(".edit", object_id=object_id),
    )


def _form(rule: RoutingRule | None) -> RuleForm:
    """Return the form, with a condition more or less where a button asked for it."""
    values = rule_values(rule) if rule is not None else None
    form = RuleForm(formdata=edited(request.form), obj=values) if DO in request.form else None
    form = form or RuleForm(obj=values)
    form.offer(reading(), values.actions.queue_id if values is not None else None)
    return form


def _is_to_be_saved(form: RuleForm) -> bool:
    """Whether the form is complete, and its button says that it is to be saved."""
    return DO not in request.form and not is_trial() and bool(form.validate())


def _create(form: RuleForm) -> Response:
    rule = save_rule(writing(), the_viewer().actor, form.values())
    flash(_('The rule "%(name)s" is created.', name=rule.name))
    return redirect(url_for(".index"), 303)


def _change(form: RuleForm, object_id: int) -> Response:
    session = writing()
    rule = stored(session, RoutingRule, object_id)
    save_rule(session, the_viewer().actor, form.values(), rule, form.version_read)
    flash(_("Saved."))
    return redirect(url_for(".edit", object_id=object_id), 303)


def _answer(form: RuleForm, rule: RoutingRule | None) -> Response:
    checked = _checked(form, rule)
    return form.answer(
        "admin/rule.html",
        comparison=_comparison(checked, rule) if is_trial() else None,
        is_checked=checked is not None and not is_trial(),
        operators={field.value: [each.value for each in OPERATORS[field]] for field in OPERATORS},
        routing_rule=rule,
    )


def _checked(form: RuleForm, rule: RoutingRule | None) -> RuleValues | None:
    """Return the rule as it would be stored, where a button asks for that and nothing is wrong."""
    is_asked = is_trial() or request.form.get(DO) == CHECK
    if is_asked and form.validate():
        with form.errors_of_core():
            return check_values(reading(), form.values(), rule)
    return None


def _comparison(values: RuleValues | None, rule: RoutingRule | None) -> Comparison | None:
    """Return what the rule as typed would change for the last mails."""
    if values is None:
        return None
    rule_id = rule.id if rule is not None else None
    return compared(with_rule(reading(), organisation(), rule_id, values))
