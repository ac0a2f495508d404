package operate

import (
	"context"
	"net/netip"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
)

// Logins returns how the accounts of phones logged in, by the journal.
func (s *Service) Logins(ctx context.Context, since time.Duration) (l control.LoginList, err error) {
	l = control.LoginList{
		From: time.Now().Add(-since).Truncate(time.Hour), Accounts: []control.AccountUsed{},
		ChanSIP: []string{},
	}
	err = s.readPast(ctx, netip.Addr{}, func(ctx context.Context, j *journal.Journal) error {
		s.writeTotals(ctx, j)
		accounts, chanSIP, err := j.Logins(ctx, l.From)
		if err != nil {
			return err
		}

		l.ChanSIP = append(l.ChanSIP, chanSIP...)
		for _, a := range accounts {
			l.Accounts = append(l.Accounts, control.AccountUsed{
				Server: a.Server, Account: a.Account, Logins: a.Logins, Networks: a.Networks,
				UDP: a.Ways&journal.ByUDP != 0, TCP: a.Ways&journal.ByTCP != 0,
				TLS: a.Ways&journal.ByTLS != 0, ChanSIP: a.Ways&journal.ChanSIP != 0,
			})
		}
		return nil
	})
	return l, err
}
