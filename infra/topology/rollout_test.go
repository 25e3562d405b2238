package topology

import "testing"

func TestOnlyARolloutByStepsHasAFunctionThatTriesNewVersions(t *testing.T) {
	o := DefaultOptions()
	for _, o.Rollout = range []bool{false, true} {
		d := New(o)
		if _, found := d.Function(o.Names.RolloutFunction); found != o.Rollout {
			t.Errorf("rollout %v: the function exists: %v", o.Rollout, found)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("rollout %v: %v", o.Rollout, err)
		}
	}
}
