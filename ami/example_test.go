package ami_test

import (
	"context"
	"fmt"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
)

// Read security events, here of a PBX that is attacked.
func Example() {
	pbx := attackedPBX() // yours is an Asterisk
	defer pbx.Close()

	session, err := ami.NewSession(ami.Config{
		Address:  pbx.Addr(), // such as "127.0.0.1:5038"
		Username: "amifend",  // in manager.conf: read = security
		Secret:   ami.NewSecret("secret"),
		OnChange: func(c ami.Change) { // a wrong secret ends up here: Run tries again for ever
			if c.Problem != ami.ProblemNone {
				fmt.Println(c.Err, "-", c.Problem.Advice())
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithCancel(context.Background())
	err = session.Run(ctx, func(e ami.Event) {
		if e.Own {
			return // our own login
		}
		// The account is text from the network: print it through Quote.
		fmt.Println(e.Kind, "by", e.Source.Addr(), "for account", ami.Quote(e.Account))
		cancel()
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// InvalidAccountID by 198.51.100.7 for account "100"
}

// attackedPBX returns a PBX at which somebody guesses an account as soon as a session is logged in.
func attackedPBX() *amitest.PBX {
	pbx, err := amitest.Listen("127.0.0.1:0", amitest.Config{Username: "amifend", Secret: "secret"})
	if err != nil {
		panic(err)
	}

	go func() {
		if pbx.WaitSessions(context.Background(), 1) != nil {
			return
		}
		pbx.Emit(amitest.NewPeer("198.51.100.7:5062").GuessAccount("100")[0])
	}()
	return pbx
}
