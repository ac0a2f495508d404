package cli

import (
	"context"
	"fmt"
	"strings"

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
	case "rules", "alerts":
		for _, r := range policy.Rules() {
			if r.Alert == (c.What == "alerts") {
				words = append(words, r.Name)
			}
		}
		return words, nil
	case "events":
		for k := policy.KindNone + 1; k < policy.KindInjection; k++ {
			words = append(words, k.String())
		}
		return words, nil
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
