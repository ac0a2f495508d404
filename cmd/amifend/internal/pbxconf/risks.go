package pbxconf

import (
	"fmt"
	"slices"
	"strings"
)

// risks adds the risks in the sections of a file that names trunks.
func (f *finder) risks(file string, sections []*section) {
	switch file {
	case "pjsip.conf":
		for _, s := range sections {
			f.pjsipRisks(s)
		}
	case "pjsip_wizard.conf":
		for _, s := range sections {
			if s.kind() == "wizard" {
				f.anonymous(s)
			}
		}
	case "sip.conf":
		f.chanSIPRisks(sections)
	case "iax.conf":
		f.iaxRisk(sections)
	}
}

// pjsipRisks adds the risks of a section of pjsip.conf.
func (f *finder) pjsipRisks(s *section) {
	switch s.kind() {
	case "endpoint":
		f.anonymous(s)
	case "global":
		v, ok := s.last("endpoint_identifier_order")
		if !ok {
			return // the default is ip,username,anonymous
		}

		for name := range strings.SplitSeq(v.value, ",") {
			if !strings.EqualFold(strings.TrimSpace(name), "auth_username") {
				continue
			}

			// The event is deferred, because the first request of a call has no user name
			// (res_pjsip_endpoint_identifier_user.c and the documentation of the option).
			f.risk(RiskIdentifier, v, s,
				"auth_username is in the order: Asterisk holds back the events of unknown "+
					"accounts until the fifth request within 5 s, so slow scans go unseen",
				"take auth_username out of endpoint_identifier_order, unless phones or trunks "+
					"are found by it")

			return
		}
	}
}

// anonymous adds the risk of an endpoint that takes calls from strangers: anonymous, or
// anonymous@DOMAIN (res_pjsip_endpoint_identifier_anonymous.c).
func (f *finder) anonymous(s *section) {
	name, _, _ := strings.Cut(s.name, "@")
	if !strings.EqualFold(name, "anonymous") {
		return
	}

	text := "the endpoint takes calls from strangers, which raise no security event: callers " +
		"through it are neither seen nor banned"

	do := "delete the endpoint, unless strangers may call you"
	if v, ok := s.last("context"); ok {
		do += fmt.Sprintf("; then make sure that its context %s reaches no outside line",
			quote(v.value))
	}

	f.Risks = append(f.Risks, Risk{RiskGuests, fmt.Sprintf("%s [%s]", s.where, s.name), text, do})
}

// chanSIPRisks adds the risks of sip.conf.
func (f *finder) chanSIPRisks(sections []*section) {
	const guests = "guests may call without an account, which raises no security event"
	const noGuests = "write allowguest = no into [general], unless strangers may call you"

	general, found := general(sections)
	v, set := general.last("allowguest")
	switch {
	case set && isTrue(v.value):
		f.risk(RiskGuests, v, general, guests, noGuests)
	case !set && found:
		f.Risks = append(f.Risks, Risk{
			RiskGuests, general.where + " [general]",
			"allowguest is not set, and its default is yes: " + guests, noGuests,
		})
	}

	// A peer that is created by its first request needs no password at all.
	if v, ok := general.last("autocreatepeer"); ok &&
		(isTrue(v.value) || strings.EqualFold(v.value, "persist")) {
		f.risk(RiskAutoCreate, v, general, "any account may register without a password, which raises no failure",
			"write autocreatepeer = no")
	}
}

// general returns the [general] section of a file, with the variables of all sections of that
// name, and reports whether there is one.
func general(sections []*section) (*section, bool) {
	all := &section{name: "general"}
	for _, s := range sections {
		if !strings.EqualFold(s.name, "general") {
			continue
		}
		if all.where == "" {
			all.where = s.where
		}
		all.vars = append(all.vars, s.vars...)
	}

	return all, all.where != ""
}

// The risk of IAX2.
const (
	textIAX = "IAX2 is in use, and chan_iax2 raises no security events: attackers who guess " +
		"passwords over it are neither seen nor banned"
	doIAX = "let only the other ends of your trunks reach the IAX2 port (4569/udp), by rules of " +
		"your own; or use SIP, and write noload = chan_iax2.so into modules.conf"
)

// iaxRisk adds the risk of IAX2 where it is used: by an account or a registration.
func (f *finder) iaxRisk(sections []*section) {
	i := slices.IndexFunc(sections, usesIAX)
	if i < 0 {
		return
	}

	s := sections[i]
	where := s.where
	if v, ok := s.last("register"); ok && !isIAXAccount(s) {
		where = v.where
	}

	// chan_iax2.c calls none of the functions of security_events.h.
	f.Risks = append(f.Risks, Risk{
		RiskIAX, fmt.Sprintf("%s [%s]", where, s.name),
		textIAX, doIAX,
	})
}

// usesIAX reports whether a section of iax.conf defines an account or a registration.
func usesIAX(s *section) bool {
	_, registers := s.last("register")
	return isIAXAccount(s) || registers && strings.EqualFold(s.name, "general")
}

// isIAXAccount reports whether a section of iax.conf defines an account.
func isIAXAccount(s *section) bool {
	return slices.Contains([]string{"peer", "user", "friend"}, s.kind())
}
