package amitest_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/amifend/amifend/ami/amitest"
)

// A phone registers and an attacker tries an extension that does not exist.
func Example() {
	pbx, err := amitest.Listen("127.0.0.1:0", amitest.Config{Username: "amifend", Secret: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pbx.Close()

	phone, attacker := amitest.NewPeer("10.20.0.101:5060"), amitest.NewPeer("198.51.100.7:5062")
	pbx.Emit(phone.Register("1001")...) // to whoever is logged in on pbx.Addr()
	pbx.Emit(attacker.GuessAccount("100")...)

	event := attacker.GuessAccount("101")[0]
	event.Time = time.Date(2026, 11, 23, 2, 54, 13, 609e6, time.UTC)
	fmt.Print(strings.ReplaceAll(string(event.Bytes()), "\r\n", "\n"))
	// Output:
	// Event: InvalidAccountID
	// Privilege: security,all
	// EventTV: 2026-11-23T02:54:13.609+0000
	// Severity: Error
	// Service: PJSIP
	// EventVersion: 1
	// AccountID: 101
	// SessionID: 13c600000002@198.51.100.7
	// LocalAddress: IPV4/UDP/192.0.2.10/5060
	// RemoteAddress: IPV4/UDP/198.51.100.7/5062
}
