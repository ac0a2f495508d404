package fromami_test

import (
	"context"
	"fmt"
	"time"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/ami/amitest"
	"github.com/amifend/amifend/policy"
	"github.com/amifend/amifend/policy/fromami"
)

// Judge the events of a PBX as they arrive: the three steps that the daemon is built of, but for the
// kernel.
func Example() {
	pbx := attackedPBX() // yours is an Asterisk
	defer pbx.Close()

	options := policy.DefaultOptions()
	engine, err := policy.New(options)
	if err != nil {
		fmt.Println(err)
		return
	}
	translator := fromami.Translator{Hasher: policy.NewHasher(engine.Seed())}

	session, err := ami.NewSession(ami.Config{Address: pbx.Addr(), Username: "amifend", Secret: ami.NewSecret("secret")})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = session.Run(ctx, func(e ami.Event) {
		o, ok := translator.Observation(e, time.Now().UnixNano())
		if !ok {
			return
		}
		for _, v := range engine.Observe(o) {
			fmt.Println(v.Action, v.Prefix, "scope", v.Scope, "for", v.Duration, "by rule", v.Rule)
			cancel()
		}
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// ban 198.51.100.7/32 scope sip for 10m0s by rule score
}

// attackedPBX returns a PBX at which somebody guesses accounts as soon as a session is logged in.
func attackedPBX() *amitest.PBX {
	pbx, err := amitest.Listen("127.0.0.1:0", amitest.Config{Username: "amifend", Secret: "secret"})
	if err != nil {
		panic(err)
	}

	go func() {
		if pbx.WaitSessions(context.Background(), 1) != nil {
			return
		}
		scanner := amitest.NewPeer("198.51.100.7:5062")
		for account := 100; account < 104; account++ {
			pbx.Emit(scanner.GuessAccount(fmt.Sprint(account))...)
		}
	}()
	return pbx
}
