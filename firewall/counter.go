package firewall

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// counterObject is a counter that is an object of the table, not of its rules: it keeps its count when
// the rules are replaced.
func counterObject(table *nftables.Table, name string) *nftables.NamedObj {
	return &nftables.NamedObj{
		Table: table, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{},
	}
}

// readCounter reads a counter of the table. The caller holds the read lock. do is for errors.
//
// Error to branch on: ErrGone.
func (t *Table) readCounter(name, do string) (*expr.Counter, error) {
	obj, err := t.read.GetObject(counterObject(t.table, name))
	if err != nil {
		return nil, readError(do, err)
	}

	named, ok := obj.(*nftables.NamedObj)
	if !ok {
		return nil, fmt.Errorf("%s: got a %T", do, obj)
	}
	counter, ok := named.Obj.(*expr.Counter)
	if !ok {
		return nil, fmt.Errorf("%s: got a %T", do, named.Obj)
	}
	return counter, nil
}
