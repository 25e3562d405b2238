package deploying

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/settings"
)

func TestSettingsAreReadFromPairsOverAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prod.json")
	if err := os.WriteFile(file, []byte(`{"name":"shop","batchSize":50,"logLevel":"warn","regions":["us-east-1"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, given, err := ReadSettings(region, "", file, []string{"batchSize=20", "tags=team=data,env=prod"})
	if err != nil || s.Name != "shop" || s.BatchSize != 20 || s.LogLevel != "warn" || s.Tags["env"] != "prod" ||
		s.Regions[0] != "us-east-1" || !given["batchSize"] || given["logLevel"] {
		t.Errorf("%+v, %v, %v", s, given, err)
	}
	s, _, err = ReadSettings(region, "staging", file, nil)
	if err != nil || s.Name != "staging" || s.WriteKeyParameter != "/staging/write-key" {
		t.Errorf("the name of the flag: %+v, %v", s, err)
	}
	s, _, err = ReadSettings(region, "", "", nil)
	if err != nil || s.Name != pipeline || s.Regions[0] != region {
		t.Errorf("without any: %+v, %v", s, err)
	}
}

func TestAllThatIsWrongWithSettingsIsSaidAtOnceALineEach(t *testing.T) {
	_, _, err := ReadSettings(region, "No", "", []string{"emails", "batchSize=0", "batchSize=1", "nonsense=1", "a:b=1", "logLevel=loud",
		"settings=x.json", "runbook=", "name=other"})
	for _, want := range []string{`--set must be NAME=VALUE, is "emails"`, `unknown setting "nonsense" (known: `, `unknown setting "a:b" (known: `,
		`--set has batchSize twice`, `logLevel must be debug or info or warn or error, is "loud"`, "give --settings x.json", "runbook must not be empty",
		"--name is No, and --set name is other", "batch size must be 1 to 10000, is 0", "must begin with a lower-case letter"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	if _, _, err = ReadSettings(region, "", "does-not-exist.json", nil); err == nil || !strings.Contains(err.Error(), "read the settings file") {
		t.Error(err)
	}
}

func TestWhatAStackWasDeployedWithIsComparedAndNothingIsTakenAwaySilently(t *testing.T) {
	expressible := func(s *settings.Settings) error {
		switch {
		case len(s.Regions) > 1:
			return errors.New("regions must be one")
		case !s.Canary:
			return errors.New("canary=false is not in the template")
		}
		return nil
	}
	for name, c := range map[string]struct {
		before map[string]string
		pairs  []string
		said   string
		want   string // of the error
	}{
		"an old version":          {nil, nil, "keeps no settings to compare with: an earlier version deployed it\n", ""},
		"the same":                {map[string]string{"name": pipeline, "regions": region}, nil, "", ""},
		"another number":          {map[string]string{"regions": region, "logRetentionDays": "90"}, nil, "spillway-eu-west-1 was deployed with other settings:\n  logRetentionDays         90, is now 30\n", ""},
		"several regions":         {map[string]string{"regions": "eu-west-1,us-east-1"}, nil, "is now eu-west-1", "regions=eu-west-1,us-east-1: regions must be one"},
		"and they are given up":   {map[string]string{"regions": "eu-west-1,us-east-1"}, []string{"regions=eu-west-1"}, "is now eu-west-1", ""},
		"no canary":               {map[string]string{"regions": region, "canary": "false"}, nil, "canary", "Deploy it with the CDK"},
		"a fingerprint":           {map[string]string{"regions": region, "tags": "a=b… (SHA-256 01234567)"}, nil, "tags", ""},
		"of a later version":      {map[string]string{"regions": region, "hologram": "true"}, nil, "is no setting of this version", ""},
		"a setting it never knew": {map[string]string{"regions": region}, []string{"batchSize=50"}, "batchSize                100, is now 50", ""},
	} {
		s, given, err := ReadSettings(region, "", "", c.pairs)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err = Compare(theStack, &s, given, expressible)(&out, c.before)
		if !strings.Contains(out.String(), c.said) || c.said == "" && out.Len() > 0 {
			t.Errorf("%s: it says %q, want %q", name, out.String(), c.said)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestABundleIsFoundByItsVersionOrAlone(t *testing.T) {
	for name, c := range map[string]struct {
		first, second []string // the files of two folders
		want          string
	}{
		"of this version":           {[]string{"spillway_1.2.3_aws.zip"}, nil, "1/spillway_1.2.3_aws.zip"},
		"named with the v":          {[]string{"spillway_v1.2.3_aws.zip"}, nil, "1/spillway_v1.2.3_aws.zip"},
		"in the second folder":      {[]string{"spillway_1.2.2_aws.zip"}, []string{"spillway_1.2.3_aws.zip"}, "2/spillway_1.2.3_aws.zip"},
		"the only one":              {[]string{"spillway_1.2.2_aws.zip", "spillway_1.2.3_linux_amd64.tar.gz"}, nil, "1/spillway_1.2.2_aws.zip"},
		"several of other versions": {[]string{"spillway_1.2.1_aws.zip", "spillway_1.2.2_aws.zip"}, nil, "Name one by --bundle"},
		"none":                      {nil, nil, "there is no bundle spillway_1.2.3_aws.zip in "},
	} {
		top := t.TempDir()
		for folder, files := range map[string][]string{"1": c.first, "2": c.second} {
			if err := os.Mkdir(filepath.Join(top, folder), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if err := os.WriteFile(filepath.Join(top, folder, f), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, err := FindBundle("v1.2.3", []string{filepath.Join(top, "1"), filepath.Join(top, "2")})
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(filepath.ToSlash(got), c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if len(Places()) != 3 {
		t.Errorf("%q", Places())
	}
}

func TestABundleOfAnotherReleaseIsRefused(t *testing.T) {
	for pair, want := range map[[2]string]bool{{"v1.2.3", "v1.2.3"}: true, {"v1.2.3", "v1.2.2"}: false, {"devel", "v1.2.3"}: true,
		{"devel-1a2b3c4d5e6f", "devel-000000000000"}: true, {"v1.2.3", "devel"}: true} {
		if err := Fits(pair[0], pair[1]); (err == nil) != want {
			t.Errorf("%v: %v", pair, err)
		}
	}
}
