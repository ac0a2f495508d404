package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/policy"
)

// Words is `amifend words`, which the completions of the shells call.
type Words struct {
	daemonFlags
	What string `arg:"" enum:"banned,denied,servers,rules,alerts,events,feeds" help:"What to list."`
}

// mostWords is the most addresses that a shell is offered.
const mostWords = 500

// Run prints the words that a flag or an argument may have now, one a line.
func (c *Words) Run(ctx context.Context) error {
	words, err := c.list(ctx)
	if err != nil {
		return err
	}

	var text strings.Builder
	for _, w := range words {
		// bash expands the words that it is given, so anything special is left out.
		if strings.Trim(w, wordBytes) == "" {
			text.WriteString(w + "\n")
		}
	}
	_, err = fmt.Print(text.String())
	return err
}

// wordBytes are the characters without a meaning in a shell.
const wordBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-"

func (c *Words) list(ctx context.Context) (words []string, err error) {
	// These need no daemon.
	switch c.What {
	case "rules":
		return ruleNames(), nil
	case "alerts":
		return kindNames(), nil
	case "events":
		return eventNames(), nil
	}

	client, err := c.client()
	if err != nil {
		return nil, err
	}
	switch c.What {
	case "servers":
		s, err := client.Status(ctx)
		for _, one := range s.Servers {
			words = append(words, one.Name)
		}
		return words, err
	case "denied":
		l, err := client.DenyList(ctx)
		for _, e := range l.Entries {
			words = append(words, bans.Source(e.Prefix))
		}
		return words, err
	case "feeds":
		f, err := client.Feeds(ctx)
		for _, one := range f.Feeds {
			words = append(words, one.Name)
		}
		return words, err
	}

	l, err := client.Bans(ctx, control.BanQuery{Sort: "newest", Limit: mostWords})
	for _, b := range l.Bans {
		words = append(words, bans.Source(b.Prefix))
	}
	return words, err
}

// ruleNames returns the names of the rules that ban.
func ruleNames() (names []string) {
	for _, r := range policy.Rules() {
		if !r.Alert {
			names = append(names, r.Name)
		}
	}
	return names
}

// kindNames returns the names of the kinds of alerts.
func kindNames() (names []string) {
	for _, k := range alerts.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// eventNames returns the names of the events.
func eventNames() (names []string) {
	for k := policy.KindNone + 1; k < policy.KindInjection; k++ {
		names = append(names, k.String())
	}
	return names
}

// knownServer returns an error unless the daemon has a server of that name. An empty list would look
// as if nothing happened there.
func knownServer(ctx context.Context, client *control.Client, name string) error {
	if name == "" {
		return nil
	}

	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, one := range s.Servers {
		names = append(names, one.Name)
	}
	if err := chosen("--server", name, "server", names); err != nil {
		return usageError(err.Error())
	}
	return nil
}
