package pbxconf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// manager adds the risks of manager.conf.
func (f *finder) manager(users []string) {
	sections, err := f.sections("manager.conf")
	if err != nil {
		return // a copy of Asterisk's files may lack it
	}

	// From here on the caller need not report manager.conf as unread.
	f.Manager = true

	general, _ := general(sections)
	if v, ok := general.last("webenabled"); ok && isTrue(v.value) {
		f.risk(RiskWebManager, v, general, "whoever reaches Asterisk's HTTP port can forge events of any address, "+
			"and no client of the AMI can detect that",
			"write webenabled = no, and restart Asterisk; until then let nobody reach the "+
				"HTTP port")
	}

	// Filters of other users do not concern amifend. If none of the users is in the file, the name
	// may differ, so every user that reads security events counts.
	ours := slices.ContainsFunc(sections, func(s *section) bool {
		return slices.Contains(users, s.name)
	})
	for _, s := range sections {
		if strings.EqualFold(s.name, "general") || ours && !slices.Contains(users, s.name) ||
			!ours && !readsSecurity(s) {
			continue
		}

		for _, v := range s.vars {
			f.eventFilter(v, s)
		}
	}
}

// readsSecurity reports whether a manager user gets security events.
func readsSecurity(s *section) bool {
	v, _ := s.last("read")
	for class := range strings.SplitSeq(v.value, ",") {
		class = strings.ToLower(strings.TrimSpace(class))
		if class == "security" || class == "all" {
			return true
		}
	}
	return false
}

// Parts of the new form of a filter, such as: eventfilter(action(exclude),name(ChallengeSent)) =
var (
	filterAction = regexp.MustCompile(`(?i)\baction\(\s*(include|exclude)\s*\)`)
	filterName   = regexp.MustCompile(`(?i)\bname\(\s*([A-Za-z0-9_]+)\s*\)`)
)

// eventFilter adds the risk of an event filter of the manager user.
func (f *finder) eventFilter(v variable, s *section) {
	const do = "delete the filter: amifend needs none; if you want one, write " +
		"eventfilter(action(exclude),name(ChallengeSent)) ="

	criteria, isNew := strings.CutPrefix(v.name, "eventfilter(")
	switch {
	case v.name == "eventfilter":
		// manager.c, match_filter: an unanchored regular expression over the text of the event.
		f.risk(RiskEventFilter, v, s,
			"a filter of the old form searches the whole text of an event: an attacker who "+
				"writes matching text into the account name hides from amifend", do)
		return
	case !isNew:
		return
	}

	// A filter of the new form is safe unless it drops security events that count.
	action := filterAction.FindStringSubmatch(criteria)
	name := filterName.FindStringSubmatch(criteria)
	includes := action == nil || strings.EqualFold(action[1], "include")

	switch {
	case includes:
		f.Risks = append(f.Risks, Risk{
			RiskEventFilter, at(v, s, "eventfilter"),
			"only events that an including filter names reach amifend", do,
		})
	case name == nil:
		f.Risks = append(f.Risks, Risk{
			RiskEventFilter, at(v, s, "eventfilter"),
			"the filter has no name(…), so it may drop security events", do,
		})
	case securityEvent(name[1]) != "":
		f.Risks = append(f.Risks, Risk{
			RiskEventFilter, at(v, s, "eventfilter"),
			fmt.Sprintf("the filter keeps all events %s from amifend",
				securityEvent(name[1])), do,
		})
	}
}

// securityEvents are Asterisk's security events that count as evidence or as proof.
var securityEvents = []string{
	"FailedACL", "InvalidAccountID", "SessionLimit", "MemoryLimit", "LoadAverageLimit",
	"RequestNotSupported", "RequestNotAllowed", "AuthMethodNotAllowed", "RequestBadFormat",
	"SuccessfulAuth", "UnexpectedAddress", "ChallengeResponseFailed", "InvalidPassword",
	"InvalidTransport",
}

// securityEvent returns the security event of a name in any case, or "": the reader returns keys in
// lower case.
func securityEvent(name string) string {
	for _, event := range securityEvents {
		if strings.EqualFold(event, name) {
			return event
		}
	}
	return ""
}
