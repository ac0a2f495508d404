package daemon

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/alerts"
	"github.com/amifend/amifend/cmd/amifend/internal/bans"
	"github.com/amifend/amifend/cmd/amifend/internal/clock"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/geo"
	"github.com/amifend/amifend/cmd/amifend/internal/journal"
	"github.com/amifend/amifend/cmd/amifend/internal/limiter"
	"github.com/amifend/amifend/cmd/amifend/internal/lockout"
	"github.com/amifend/amifend/cmd/amifend/internal/notify"
	"github.com/amifend/amifend/cmd/amifend/internal/owner"
	"github.com/amifend/amifend/cmd/amifend/internal/sensor"
	"github.com/amifend/amifend/cmd/amifend/internal/stream"
)

// shared holds the values that several parts need.
type shared struct {
	options  Options
	startup  *startup
	begin    begin
	stop     context.CancelFunc             // ends this run
	next     atomic.Pointer[turn]           // the turn that ends this run; nil: none
	kept     atomic.Bool                    // the trial of this run was kept
	live     *atomic.Pointer[config.Config] // the config in force: a reload replaces it
	clock    clock.Clock
	mail     *bans.Mail
	journal  *journal.Journal // nil: there is none
	recorder bans.Recorder
	alerts   *alerts.Book
	atlas    *geo.Atlas
	logins   *geo.Logins
	limiter  *limiter.Limiter
	notifier *notify.Notifier
	compare  *owner.Latest[struct{}] // a request to compare kernel and journal
	begun    *owner.Latest[struct{}] // the journal was lost: all allowances must be saved again
	anew     *owner.Latest[struct{}] // the same for all denials
	events   chan stream.Sighting
	witness  *sensor.Witness // of events over UDP
	admins   lockout.Options // how to find who administers the machine

	administrators *administrators // who did so in the last days
}

func newShared(o Options, startup *startup, b begin, stop context.CancelFunc) *shared {
	s := &shared{
		options: o, startup: startup, begin: b, stop: stop,
		live: &atomic.Pointer[config.Config]{}, clock: clock.New(),
		mail: bans.NewMail(), compare: owner.NewLatest[struct{}](),
		begun: owner.NewLatest[struct{}](), anew: owner.NewLatest[struct{}](),
		events: make(chan stream.Sighting, queue), witness: sensor.NewWitness(), admins: admins(o),
	}
	s.live.Store(o.Config)
	var seen map[netip.Addr]time.Time
	if b.carried != nil { // times of the engine and of allowances are those of its clock
		s.clock, seen = b.carried.clock, b.carried.administrators
	}
	s.administrators = newAdministrators(s.admins, seen)

	// A journal that was begun anew must be compared with the kernel. The enforcer does that, and
	// needs the journal for it. So the request has a box of its own, which is made before both.
	unsaved := owner.NewLatest[struct{}]()
	s.journal = newJournal(o, func() { s.compare.Set(struct{}{}) }, func() {
		s.begun.Set(struct{}{})
		s.anew.Set(struct{}{})
		unsaved.Set(struct{}{})
		s.alerts.Rewrite()
	})
	s.recorder = bans.NewRecorder(s.journal, s.clock)

	s.atlas = geo.New(geo.Options{Config: o.Config.Geo, Log: o.Log, Resolver: o.Resolver})

	// The notifier comes before the book, which reports to it.
	s.notifier = newNotifier(s, unsaved)
	s.alerts = newBook(o, s.journal, s.notifier)

	return s
}

func newNotifier(s *shared, unsaved *owner.Latest[struct{}]) *notify.Notifier {
	o := notify.Options{
		Targets: s.options.Config.Notify, Observing: s.options.Config.Dry(), Log: s.options.Log,
		Begun: unsaved, Calm: s.options.NotifyAfter, Origin: s.atlas.Of,
		Weekly: s.options.Config.Report.Weekly,
	}
	if s.journal != nil { // a nil *Journal in an interface is not nil
		o.Journal = s.journal
	}
	if from := s.begin.carried; from != nil {
		o.Carried = from.notifications
	}
	return notify.New(o)
}

func newBook(o Options, j *journal.Journal, n *notify.Notifier) *alerts.Book {
	b := alerts.Options{Log: o.Log, Listen: n.Alert}
	if j != nil { // as above
		b.Journal = j
	}
	return alerts.New(b)
}
