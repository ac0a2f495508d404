package journal

import (
	"context"
	"database/sql"
	"math/bits"
	"net/netip"
	"time"
)

// Ways is how an account was used in a time, as a set of bits.
type Ways uint8

// The ways. The numbers are in the database.
const (
	ByUDP   Ways = 1 << iota // it logged in over UDP
	ByTCP                    // over TCP or WebSocket, without TLS
	ByTLS                    // over TLS, also with WebSocket
	ChanSIP                  // chan_sip raised events about it, of logins or of attempts

	// ByAny are the ways to log in.
	ByAny = ByUDP | ByTCP | ByTLS
)

// NetworkBit returns one of 64 bits for the network of an address: its /24, or its /48 of IPv6. The
// bits of different networks may be the same. So the number of bits of many logins is at most the
// number of networks, and takes eight bytes however many there are.
func NetworkBit(a netip.Addr) uint64 {
	a = a.Unmap()
	if !a.IsValid() {
		return 0
	}

	// FNV-1a: the bits of different hours must fit together, so the hash has no seed.
	length := 3
	if a.Is6() {
		length = 6
	}
	raw := a.As16()
	hash := uint64(14695981039346656037)
	for i := range length {
		b := raw[i]
		if a.Is4() {
			b = raw[12+i]
		}
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return 1 << ((hash ^ hash>>32) & 63)
}

// Used is how an account logged in.
type Used struct {
	Server   string
	Account  string // as ami.Quote prints it
	Ways     Ways
	Networks int // at least so many
	Logins   uint64
}

// mostUsed bounds the accounts of [Journal.Logins]. Each has a password that is right.
const mostUsed = 20_000

// Logins returns how the accounts of phones logged in, from the hour of since on, sorted by server
// and account, and the servers whose chan_sip raised events. Hours that an amifend before schema 6
// counted say nothing of it.
func (j *Journal) Logins(
	ctx context.Context, since time.Time,
) (accounts []Used, chanSIP []string, err error) {
	from := since.UTC().Truncate(time.Hour).UnixMilli()
	err = j.read(ctx, "logins", func(db *sql.DB) error {
		// SQLite cannot sum up bits. The rows of an account come one after the other.
		var networks uint64
		err := each(ctx, db, func(row *sql.Rows) error {
			var u Used
			var seen int64
			if err := row.Scan(&u.Server, &u.Account, &u.Logins, &u.Ways, &seen); err != nil {
				return err
			}

			last := len(accounts) - 1
			if last < 0 || accounts[last].Server != u.Server || accounts[last].Account != u.Account {
				if len(accounts) == mostUsed {
					return nil
				}
				accounts, networks = append(accounts, Used{Server: u.Server, Account: u.Account}), 0
				last++
			}
			networks |= uint64(seen)
			a := &accounts[last]
			a.Logins += u.Logins
			a.Ways |= u.Ways
			a.Networks = bits.OnesCount64(networks)
			return nil
		}, `SELECT server, account, logins, ways, networks FROM account_hour
			WHERE hour >= ? AND ways & ? <> 0 AND account <> ? ORDER BY server, account`,
			from, ByAny, Others)
		if err != nil {
			return err
		}

		return each(ctx, db, func(row *sql.Rows) error {
			var server string
			err := row.Scan(&server)
			chanSIP = append(chanSIP, server)
			return err
		}, `SELECT DISTINCT server FROM account_hour WHERE hour >= ? AND ways & ? <> 0
			ORDER BY server`, from, ChanSIP)
	})
	return accounts, chanSIP, err
}
