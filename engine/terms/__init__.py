"""What a run is booked by: the programme and the services, loaded strictly from TOML.

The programme is dated terms, a rate and a cap, each with its source; the registry says of each
payment service what it awards and how it rounds. ``programmes/`` and ``service_registries/`` ship.
"""
