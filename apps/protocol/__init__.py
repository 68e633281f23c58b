"""What processes say to each other, line by line; knows neither who speaks nor who listens."""
