package main

import (
	"reflect"
	"testing"

	"github.com/spillwayhq/spillway/integration/peers/measure"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

func TestEachPeerCanBeFilledRunAndToldFromTheOthers(t *testing.T) {
	names := map[string]bool{}
	fills := map[string]uintptr{}
	for _, p := range registry() {
		if p.Name == "" || p.What == "" || p.Backlog == "" || p.Fill == nil || names[p.Name] {
			t.Errorf("%+v: its name is not its own, or it lacks a name, a row, or a backlog", p)
		}
		names[p.Name] = true
		ways := 0
		for _, has := range []bool{p.Worker != nil, p.Program != "", p.Function != nil} {
			if has {
				ways++
			}
		}
		if ways != 1 {
			t.Errorf("%s must have a worker, a program or a function", p.Name)
		}
		if (p.Queue == peer.Redis) != (p.Left != nil) {
			t.Errorf("%s: those on Redis, and no others, say what is left", p.Name)
		}
		fill := reflect.ValueOf(p.Fill).Pointer()
		if other, ok := fills[p.Backlog]; ok && other != fill {
			t.Errorf("%s fills the backlog %q in another way", p.Name, p.Backlog)
		}
		fills[p.Backlog] = fill
	}
}

func TestPeersAreChosenByTheirNames(t *testing.T) {
	all := registry()
	if got, err := measure.Choose(all, ""); err != nil || len(got) != len(all) {
		t.Errorf("without names: %d of %d, %v", len(got), len(all), err)
	}
	got, err := measure.Choose(all, "spillway-packed,lambda-no-wait")
	if err != nil || len(got) != 2 || got[0].Name != "lambda-no-wait" {
		t.Errorf("two names: %v, %v", got, err)
	}
	if _, err := measure.Choose(all, "spillway-packed,spilway"); err == nil {
		t.Error("a misspelt name is taken")
	}
}

func TestAnEndpointIsFoundInTheURLOfAQueue(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:1/000000000000/spillway-events": "http://127.0.0.1:1", "": "", "/": "",
	} {
		if got := peer.Endpoint(url); got != want {
			t.Errorf("%q is at %q, want %q", url, got, want)
		}
	}
}
