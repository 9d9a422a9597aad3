"""`python -m search.cluster`: it prints the file, and how to start the cluster with it."""

from search.cluster.__main__ import main
from tests.search.cluster.conftest import LOCAL


def test_both_streams_name_the_way_around_the_second_autoscaler(capsys):
    assert main(LOCAL) == 0
    out, err = capsys.readouterr()
    assert "RAY_UP_enable_autoscaler_v2=0 ray up" in out
    assert err == "start it with: RAY_UP_enable_autoscaler_v2=0 ray up FILE\n"
