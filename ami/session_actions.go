package ami

import (
	"context"
	"fmt"
	"strings"
)

// Action is an action of AMI that a manager user may send.
type Action struct {
	Name string
	// Privilege holds the classes of `write` of which one allows the action, as Asterisk prints
	// them: "system,reporting,all". It is empty for an action that every user may send.
	Privilege string
}

// Actions connects once, logs in as [Probe] does, and asks which actions the user may send. It
// sends ListCommands, which needs no right and changes nothing. Events go to emit as in Run; a nil
// emit drops them.
//
// The error is an *Error, whose Problem has advice. The report is valid up to the step that failed.
// An invalid configuration is an error of another type.
func Actions(ctx context.Context, c Config, emit func(Event)) (Report, []Action, error) {
	if c.OnChange == nil {
		c.OnChange = func(Change) {} // the report and the error hold everything
	}
	s, err := NewSession(c)
	if err != nil {
		return Report{}, nil, err
	}
	if emit == nil {
		emit = func(Event) {}
	}

	actions, err := s.actions(ctx, emit)
	if err != nil {
		s.failed(err, false, 0)
	}
	return Report{Status: s.Status()}, actions, err
}

func (s *Session) actions(ctx context.Context, emit func(Event)) ([]Action, error) {
	s.setPhase(PhaseConnecting)
	l, auth, err := s.join(ctx, emit)
	if err != nil {
		return nil, err
	}
	defer l.close()
	s.connected(l, auth)

	ctx, cancel := context.WithTimeout(ctx, l.config.Timeouts.Pong)
	defer cancel()
	r := l.client.request()
	defer r.forget()
	if err := r.Send("Action: ListCommands\r\nActionID: " + r.id + "\r\n\r\n"); err != nil {
		return nil, loginError("list the actions", err)
	}
	answer, err := r.Recv(ctx)
	if err != nil {
		return nil, loginError("list the actions", err)
	}

	if message, refused := r.refusal(); refused {
		return nil, &Error{ProblemUnknown, "list the actions", answered(l.scrub(message))}
	}
	return parseActions(answer), nil
}

// maxActions bounds the list. Asterisk 22 with all its modules has about 160 actions.
const maxActions = 2000

// parseActions reads the answer to ListCommands: a line `NAME: SYNOPSIS  (Priv: CLASSES)` for each
// action (main/manager.c, action_listcommands). The synopsis may hold parentheses, too.
func parseActions(answer string) (out []Action) {
	for line := range strings.SplitSeq(answer, "\r\n") {
		name, rest, found := strings.Cut(line, ": ")
		at := strings.LastIndex(rest, "(Priv: ")
		if !found || at < 0 || !strings.HasSuffix(rest, ")") || len(out) >= maxActions {
			continue
		}

		classes := strings.TrimSuffix(rest[at+len("(Priv: "):], ")")
		if classes == "<none>" {
			classes = ""
		}
		out = append(out, Action{Name: name, Privilege: classes})
	}
	return out
}

// String returns the name and the classes, quoted.
func (a Action) String() string {
	if a.Privilege == "" {
		return Quote([]byte(a.Name))
	}
	return fmt.Sprintf("%s (%s)", Quote([]byte(a.Name)), Quote([]byte(a.Privilege)))
}
