"""How good the forecasts are compared with DLinear, seasonal naive and the peers' TCNs, in one run.

    long_horizon.py   ETTh1, ETTm1, weather, exchange rate, national illness: splits and scaling
    many_series.py    M4 hourly and the Monash sets, read by tsf.py
        forecast by
    contestants.py    ours.py, baselines.py (naive, DLinear), peers.py (darts, neuralforecast)
        with the settings of settings.py; runs.py makes each of them a run of benchmarks.grid
    automatic.py      of many series alone: our search, statsforecast's AutoETS and AutoTheta
    page.py           shows the results next to those of published.py

Every window of a test part is counted. Many published figures come from loaders that left out the
last, incomplete batch of it (``drop_last``); figures with and without that fault cannot be
compared.
"""
